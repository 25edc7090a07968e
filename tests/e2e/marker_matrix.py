"""Every strategy over every kind of traffic: what leaves is marked, all of it, and arrives whole.

usage: marker_matrix.py STRATEGY"""

import atexit

from marker_net import *

TAG = (2, 17)
STRATEGY = sys.argv[1]
ROOM = {"label": 0, "destination": 8, "hopByHop": 8, "hopByHopDestination": 16}[STRATEGY]
MB = 1 << 20
ports = iter(range(20000, 30000))


def udp_payloads(sizes):
    base = pattern(1 << 16)
    return [struct.pack(">I", i) + base[i % 977:][: max(0, n - 4)] for i, n in enumerate(sizes)]


# --- kinds of traffic: traffic(net, sport, dport, before) -> (sent hash, received hash) ---------


def tcp_bulk(total=24 * MB, write=None, nodelay=False, passive=False):
    def go(net, sport, dport, before):
        data = pattern(total)
        server = tcp_socket(net.a if passive else net.b, HOST_A if passive else net.host_b, sport if passive else dport)
        client = tcp_socket(net.b if passive else net.a, net.host_b if passive else HOST_A, dport if passive else sport)
        # Room for all of it at both ends, and one write: nothing but its end makes a segment that is not full, so that
        # frames can be counted to the last one.
        for s in (server, client):
            s.setsockopt(socket.SOL_SOCKET, 32, 3 * total)  # SO_SNDBUFFORCE
            s.setsockopt(socket.SOL_SOCKET, 33, 6 * total)  # SO_RCVBUFFORCE
        server.listen(1)

        def receiver():
            if passive:
                client.connect((HOST_A, sport))
                return receive_all(client)
            return receive_all(server.accept()[0])

        child = Child(receiver)
        if passive:
            s = server.accept()[0]
        else:
            client.connect((net.host_b, dport))
            s = client
        if nodelay:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if before:
            s.sendall(data[:100000])  # the connection is open, and has sent
            time.sleep(0.3)
            before()
            data = data[100000:] if not nodelay else data[100000:100000 + total // 8]
        size = tcp_mss(s) if write == "mss" else write or (1 << 18 if before else total)
        sent = hashlib.blake2b(pattern(total)[:100000] if before else b"")
        for off in range(0, len(data), size):
            s.sendall(data[off:off + size])
        sent.update(data)
        s.shutdown(socket.SHUT_WR)
        got = child.result()
        s.close(), server.close(), client.close()
        return sent.hexdigest(), got["hash"]

    return go


def tcp_short(n=200):
    def go(net, sport, dport, before):
        server = tcp_socket(net.b, net.host_b, dport)
        server.listen(64)

        def receiver():
            h = hashlib.blake2b()
            for _ in range(n):
                c = server.accept()[0]
                while True:
                    d = c.recv(65536)
                    if not d:
                        break
                    h.update(d)
                c.send(b"x" * 700)
                c.close()
            return {"hash": h.hexdigest()}

        child = Child(receiver)
        sent = hashlib.blake2b()
        for i in range(n):
            with InNamespace(net.a):
                c = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
            c.bind((HOST_A, 0))
            c.connect((net.host_b, dport))
            d = pattern(1 + i * 37)
            c.sendall(d)
            sent.update(d)
            c.shutdown(socket.SHUT_WR)
            while c.recv(4096):
                pass
            c.close()
        server.close()
        return sent.hexdigest(), child.result()["hash"]

    return go


def udp(sizes, gso=None):
    def go(net, sport, dport, before):
        with InNamespace(net.b):
            r = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            r.setsockopt(socket.SOL_SOCKET, 33, 64 * MB)  # SO_RCVBUFFORCE
            r.bind((net.host_b, dport))
            r.settimeout(1.5)
        with InNamespace(net.a):
            s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            s.bind((HOST_A, sport))
            s.connect((net.host_b, dport))
        payloads = udp_payloads(sizes)
        if gso:
            s.setsockopt(17, 103, gso)  # UDP_SEGMENT
        total, h = len(payloads), hashlib.blake2b()
        for p in payloads:
            h.update(p)

        def receiver():
            g, n = hashlib.blake2b(), 0
            try:
                while n < total:
                    g.update(r.recv(65536))
                    n += 1
            except TimeoutError:
                pass
            return {"hash": g.hexdigest(), "n": n}

        child = Child(receiver)
        if gso:
            per = max(1, 60000 // gso)
            for i in range(0, total, per):
                s.send(b"".join(payloads[i:i + per]))
                time.sleep(0.0005)
        else:
            for i, p in enumerate(payloads):
                s.send(p)
                if i % 32 == 0:
                    time.sleep(0.0005)
        got = child.result()
        r.close(), s.close()
        return h.hexdigest(), got["hash"]

    return go


def checksum(proto, src, dst, body):
    data = socket.inet_pton(socket.AF_INET6, src) + socket.inet_pton(socket.AF_INET6, dst) + struct.pack(">IxxxB", len(body), proto) + body
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(">%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def raw_frames(proto, vlans, n=400):
    """Frames as an AF_PACKET sender makes them: SCTP, or VLAN tags inside the packet."""

    def make(net, sport, dport):
        sizes = [20 + (i * 131) % 1380 for i in range(n)]
        mac_a = bytes.fromhex(json.loads(sh("ip -n %s -j link show va" % net.a))[0]["address"].replace(":", ""))
        mac_b = bytes.fromhex(json.loads(sh("ip -n %s -j link show vb" % net.b))[0]["address"].replace(":", ""))
        frames = []
        for i, size in enumerate(sizes):
            body = pattern(1 << 16)[i:i + size]
            if proto == 17:
                up = struct.pack(">HHHH", sport, dport, 8 + size, 0) + body
                up = up[:6] + struct.pack(">H", checksum(17, HOST_A, net.host_b, up) or 0xFFFF) + body
            else:
                up = struct.pack(">HHII", sport, dport, 1, 0) + body
            # traffic class b9: EF and ECT(1)
            ip = struct.pack(">IHBB", 0x6B912345, len(up), proto, 64) + socket.inet_pton(socket.AF_INET6, HOST_A) + socket.inet_pton(socket.AF_INET6, net.host_b)
            tags = b"".join(struct.pack(">HH", t, tci) for t, tci in vlans)
            frames.append(mac_b + mac_a + tags + b"\x86\xdd" + ip + up)
        return frames

    def go(net, sport, dport, before):
        frames = make(net, sport, dport)
        with InNamespace(net.a):
            s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            s.bind(("va", 0))
        for i, f in enumerate(frames):
            s.send(f)
            if i % 32 == 0:
                time.sleep(0.001)
        s.close()
        go.frames = frames
        return "", ""

    return go


def strip(p):
    """The frame without what the strategy inserted, and without the label: what must be unchanged."""
    b = bytearray(p.raw)
    word, payload, nxt = struct.unpack_from(">IHB", b, p.l3)
    off, n = p.l3 + 40, 0
    heads = {"label": [], "destination": [60], "hopByHop": [0], "hopByHopDestination": [0, 60]}[STRATEGY]
    for want in heads:
        if nxt != want:
            return None
        nxt = b[off + n]
        n += 8
    del b[off:off + n]
    struct.pack_into(">IHB", b, p.l3, word & 0xFFF00000 if STRATEGY == "label" else word, payload - n, nxt)
    return bytes(b)


def new_segments(packets):
    """Payload bytes of each segment that carries data not seen before: no retransmissions, no acknowledgements."""
    sizes, end = [], None
    for p in packets:
        if p.payload and (end is None or 0 < (p.seq + p.payload - end & 0xFFFFFFFF) < 1 << 31):
            sizes.append(p.payload)
            end = p.seq + p.payload & 0xFFFFFFFF
    return sizes


# --- one case ----------------------------------------------------------------------------------


def run(*case, **options):
    """A second time where a busy machine lost packets and something is wrong: marks that do harm do it every time."""
    attempt(*case, **options, again=True) or attempt(*case, **options)


def attempt(net, what, traffic, mtu, proto=6, before=False, wire=True, snap=170, base_frames=True, expect_unmarked=None,
            raw=False, any_sport=False, late=None, again=False):
    """Unmarked, then marked, and everything that must hold between the two. False, and no verdict, if it is to be had
    again."""
    name = "%s: %s" % (STRATEGY, what)
    stats, started = [], (STRATEGY, net.extra)
    for marked in (False, True):
        sport, dport = next(ports), next(ports)
        flow = {6: "tcp", 17: "udp", 132: "sctp"}[proto] + " %s %d %s %d" % (HOST_A, sport, net.host_b, dport)
        net.stop()
        if marked and not late:
            net.start(*started)
        before_a, before_b = net.counters(net.a), net.counters(net.b)
        cap = None
        if marked and not before and not any_sport:
            net.ask("mark %s atlas AnalysisInput" % flow)

        def now_mark():
            nonlocal cap
            cap = net.capture(snap)
            if marked and late:
                net.start(STRATEGY, late)
            elif marked:
                net.ask("mark %s atlas AnalysisInput" % flow)

        if not before:
            cap = net.capture(snap)
        sent, got = traffic(net, sport, dport, now_mark if before else None)
        path = cap.stop()
        after_a, after_b = net.counters(net.a), net.counters(net.b)
        packets = [p for p in read_pcap(path) if p.proto == proto and p.src == socket.inet_pton(socket.AF_INET6, HOST_A)
                   and (p.dport == dport and (any_sport or p.sport == sport) or p.fragment)]
        stats.append({
            "packets": packets, "path": path, "sent": sent, "got": got, "sport": sport, "dport": dport,
            "retrans": after_a.get("TcpRetransSegs", 0) - before_a.get("TcpRetransSegs", 0),
            "drops": sum(after[k] - before_[k] for after, before_ in ((after_a, before_a), (after_b, before_b)) for k in ("dev_drops",)),
            "csum": sum(after_b.get(k, 0) - before_b.get(k, 0) for k in ("TcpInCsumErrors", "Udp6InCsumErrors", "Ip6InHdrErrors")),
        })
        if not marked and not any_sport:
            bad = sum(is_marked(p, STRATEGY, TAG) for p in packets)
            if bad > len(packets) / 1000 + 1:
                not_ok(name + ", the unmarked run", "%d of %d are marked" % (bad, len(packets)))
    base, run_ = stats
    problems = []
    packets = run_["packets"]
    good = [p for p in packets if is_marked(p, STRATEGY, TAG)]
    n_bytes = sum(p.length for p in packets)
    share = 100.0 * sum(p.length for p in good) / n_bytes if n_bytes else 0
    if not packets:
        problems.append("nothing was seen")
    if expect_unmarked is None and len(good) != len(packets):
        bad = [p for p in packets if not is_marked(p, STRATEGY, TAG)]
        problems.append("%d of %d packets unmarked (%.3f %% of bytes marked); first: %s" % (
            len(bad), len(packets), share, [(x.ip_bytes, x.flags, x.chain, hex(x.label)) for x in bad[:5]]))
    if expect_unmarked is not None and not expect_unmarked(packets, good):
        problems.append("%d of %d marked is not what was expected" % (len(good), len(packets)))
    if run_["sent"] != run_["got"]:
        problems.append("the payload arrived changed or not whole")
    over = [p for p in packets if p.ip_bytes > mtu]
    if wire and over:
        problems.append("%d frames above the MTU, the longest %d" % (len(over), max(p.ip_bytes for p in over)))
    if run_["csum"]:
        problems.append("%d bad checksums or headers" % run_["csum"])
    if run_["retrans"] > base["retrans"] + 20 + base["retrans"] // 2:
        problems.append("%d retransmissions, %d without marks" % (run_["retrans"], base["retrans"]))
    if run_["drops"] > base["drops"] + 20:
        problems.append("%d drops, %d without marks" % (run_["drops"], base["drops"]))
    if STRATEGY == "label":
        labels = {p.label for p in packets}
        if not any_sport and len(labels) > 1 and expect_unmarked is None:
            problems.append("%d labels in one flow" % len(labels))
    elif not raw and len({p.label for p in packets}) > 2 and not any_sport:
        problems.append("the kernel's own label was changed")
    seen = tshark_count(run_["path"], "(%s) && ipv6.src == %s && %s.dstport == %d" % (
        strategy_filter(STRATEGY, TAG), HOST_A, {6: "tcp", 17: "udp", 132: "sctp"}[proto], run_["dport"]))
    first_or_whole = [p for p in good if not p.fragment]
    if seen != len(first_or_whole):
        problems.append("tshark finds %d marked packets, we %d" % (seen, len(first_or_whole)))
    frames = ""
    if base_frames and wire and proto == 6:
        segments, base_segments = new_segments(packets), new_segments(base["packets"])
        full, base_full = max(segments), max(base_segments)
        least = -(-sum(base_segments) // full)
        frames = ", %+.3f %% frames, %d of them short" % (100.0 * len(segments) / len(base_segments) - 100, sum(n < full for n in segments))
        if full != base_full - ROOM:
            problems.append("full segments of %d bytes, %d without marks" % (full, base_full))
        # the room and nothing else: no odd short segment behind each super-packet
        if len(segments) > 1.0005 * least + 2:
            problems.append("%d segments carry new data, %d would do" % (len(segments), least))
    if raw:
        want = [bytes(x) for x in traffic.frames]
        if STRATEGY == "label":
            want = [x[:at] + struct.pack(">I", struct.unpack_from(">I", x, at)[0] & 0xFFF00000) + x[at + 4:] for x in want for at in [len(x) - len(x[12:].split(b"\x86\xdd", 1)[1])]]
        have = [strip(p) for p in packets]
        if have != want:
            problems.append("%d of %d frames arrived, or not byte by byte" % (sum(h == w for h, w in zip(have, want)), len(want)))
    if again and problems and run_["retrans"] + run_["drops"]:
        print("    %s: once more: %s" % (name, "; ".join(problems)), flush=True)
        return False
    what_marked = "%.3f %% of %d packets, %.3f %% of bytes marked%s" % (100.0 * len(good) / max(1, len(packets)), len(packets), share, frames)
    check(not problems, "%s: %s" % (name, what_marked), "; ".join(problems))
    os.unlink(base["path"])
    os.unlink(run_["path"])
    return True


def vlan_filters(net):
    """Another filter in front of ours pushes a priority tag into the metadata."""
    obj = test_object("vlan_push")
    # ours gave its priority 1 already: the foreign one goes in front by being there first
    sh("ip netns exec %s tc qdisc add dev va clsact" % net.a)
    sh("ip netns exec %s tc filter add dev va egress prio 1 bpf da obj %s sec tc" % (net.a, obj))


def pulls(net):
    """Pulling payload into the linear part would cost more than all else that is done for a large packet."""
    net.stop()
    net.start(STRATEGY)
    sh("ip netns exec %s tc filter add dev va egress prio 2 bpf da obj %s sec tc" % (net.a, test_object("linear")))
    for marked in (False, True):
        sport, dport = next(ports), next(ports)
        if marked:
            net.ask("mark tcp %s %d %s %d atlas AnalysisInput" % (HOST_A, sport, net.host_b, dport))
        tcp_bulk()(net, sport, dport, None)
    counts = json.loads(sh("bpftool -j map dump name linear.bss"))[0]["formatted"]["value"][".bss"]
    counts = {name: n for c in counts for name, n in c.items()}
    sh("ip netns exec %s tc filter del dev va egress prio 2" % net.a)
    net.stop()
    check(counts["large"] > 200 and not counts["pulled"], "%s: no payload is copied on the way out, of %d large packets" % (STRATEGY, counts["large"]), counts)


def main():
    mixed = [4 + (i * 97) % (1452 - 16 - 4) for i in range(3000)]
    wild = "rules:\n  - {protocol: tcp, dstPort: 20000-30000, experiment: atlas, activity: Analysis Input}"
    with Net() as net:  # MTU 1500, everything in hardware: super-packets reach the far end whole
        run(net, "TCP bulk, TSO on", tcp_bulk(64 * MB), 1500, wire=False)
        run(net, "TCP writes of exactly one MSS, TSO on", tcp_bulk(8 * MB, "mss", True), 1500, wire=False)
        pulls(net)
        run(net, "UDP of mixed sizes", udp(mixed), 1500, proto=17)
        run(net, "UDP GSO", udp([1400] * 3000, 1400), 1500, proto=17, wire=False)
        run(net, "SCTP, crafted", raw_frames(132, []), 1500, proto=132, raw=True, snap=2000)
        run(net, "a VLAN tag in the packet", raw_frames(17, [(0x8100, 0x6000 | 100)]), 1500, proto=17, raw=True, snap=2000)
        run(net, "802.1ad and 802.1Q tags in the packet", raw_frames(17, [(0x88A8, 200), (0x8100, 0x4000 | 100)]), 1500, proto=17, raw=True, snap=2000)
    with Net(offloads=("tso off",)) as net:  # every segment is seen by the far end
        run(net, "TCP bulk, TSO off", tcp_bulk(), 1500)
        run(net, "TCP writes of exactly one MSS", tcp_bulk(6 * MB, "mss", True), 1500)
        run(net, "TCP, the passive side sends", tcp_bulk(passive=True), 1500)
        run(net, "TCP open before the rule", tcp_bulk(), 1500, before=True, base_frames=False)
        run(net, "TCP open before the rule, writes of one MSS", tcp_bulk(8 * MB, "mss", True), 1500, before=True, base_frames=False)
        run(net, "TCP open before the marker, a wildcard", tcp_bulk(), 1500, before=True, base_frames=False, late=wild)
        run(net, "TCP open before the marker, a wildcard, writes of one MSS", tcp_bulk(8 * MB, "mss", True), 1500, before=True,
            base_frames=False, late=wild)
        net.extra = wild
        run(net, "TCP short connections, a wildcard", tcp_short(), 1500, any_sport=True, base_frames=False)
    with Net(offloads=("tso off", "gso off", "tx-udp-segmentation off")) as net:
        run(net, "TCP bulk, TSO and GSO off", tcp_bulk(), 1500)
        run(net, "UDP GSO, cut up by the kernel", udp([1400] * 2000, 1400), 1500, proto=17)
    with Net(offloads=("tx off", "gro off")) as net:  # checksums in software, verified at the far end
        run(net, "TCP bulk, checksum offload off", tcp_bulk(), 1500)
        run(net, "UDP, checksum offload off", udp(mixed), 1500, proto=17)
        checksum_control(net)
    for mtu in (1280, 9000):
        with Net(mtu=mtu, offloads=("tso off",)) as net:
            run(net, "TCP bulk, MTU %d" % mtu, tcp_bulk(96 * MB if mtu == 9000 else 16 * MB), mtu)
            run(net, "TCP writes of exactly one MSS, MTU %d" % mtu, tcp_bulk(6 * MB, "mss", True), mtu)
    with Net(offloads=("tso off",)) as net:
        vlan_filters(net)
        run(net, "TCP, a VLAN tag in the metadata", tcp_bulk(), 1500)
        run(net, "UDP, a VLAN tag in the metadata", udp(mixed), 1500, proto=17)
    with Net() as net:
        for ns, dev in ((net.a, "va"), (net.b, "vb")):
            sh("ip -n %s link set %s gso_max_size 196608 gro_max_size 196608" % (ns, dev))
        run(net, "BIG TCP", tcp_bulk(96 * MB), 1500, wire=False)
        net.stop()
        size = json.loads(sh("ip -n %s -d -j link show va" % net.a))[0]["gso_max_size"]
        check(size == 196608, "%s: the packet limit of BIG TCP is as it was after the stop" % STRATEGY, size)
    full_size_udp()


def checksum_control(net):
    """What would have been counted had a checksum been wrong: twenty such SYNs are."""
    before = net.counters(net.b)["TcpInCsumErrors"]
    frames = []
    for i in range(20):
        up = struct.pack(">HHIIBBHHH", 5000 + i, 6000, 1, 0, 0x50, 2, 1000, 0xDEAD, 0)
        if checksum(6, HOST_A, HOST_B, up) == 0:
            continue
        frames.append(up)
    with InNamespace(net.a):
        s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 6)
    for up in frames:
        s.sendto(up, (HOST_B, 0))
    time.sleep(0.3)
    n = net.counters(net.b)["TcpInCsumErrors"] - before
    check(n == len(frames), "%s: %d wrong checksums would have been counted" % (STRATEGY, len(frames)), n)


def full_size_udp():
    """Datagrams that fill the MTU leave no room: they pass unmarked and are counted, never dropped."""
    with Net(offloads=("tso off",)) as net:
        sizes = [1452 if i % 2 else 600 for i in range(1000)]
        if STRATEGY == "label":
            run(net, "UDP that fills the MTU", udp(sizes), 1500, proto=17)
            return
        run(net, "UDP, half of it filling the MTU, passes (unreachable: 50 %% of these packets)" % (), udp(sizes), 1500, proto=17,
            expect_unmarked=lambda packets, good: len(packets) == 1000 and len(good) == 500 and all(p.payload < 1440 for p in good))
        counted = net.status()["unmarked"]["mtu"]["packets"]
        check(counted == 500, "%s: they are counted as mtu" % STRATEGY, counted)


if __name__ == "__main__":
    main()
    sys.exit(1 if failures else 0)
