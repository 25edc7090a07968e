"""The marker's life on a host that is not its own: foreign filters, crashes, restarts, flows that come and go."""

import re

from marker_net import *

TAG = (2, 17)
MB = 1 << 20


class Stream:
    """A TCP connection from A to B that sends all the while, at a modest pace, until it is stopped."""

    def __init__(self, net, sport, dport, pause=0.002):
        self.net, self.sport, self.dport = net, sport, dport
        server = tcp_socket(net.b, net.host_b, dport)
        server.listen(1)
        self.receiver = Child(lambda: receive_all(server.accept()[0]))
        server.close()
        client = tcp_socket(net.a, HOST_A, sport)
        client.connect((net.host_b, dport))
        self.stop_r, stop_w = os.pipe()
        self.stop_w = stop_w

        def send():
            os.close(stop_w)
            block, h = pattern(20000), hashlib.blake2b()
            os.set_blocking(self.stop_r, False)
            while True:
                try:
                    if os.read(self.stop_r, 1) == b"":
                        break
                except BlockingIOError:
                    pass
                client.sendall(block)
                h.update(block)
                time.sleep(pause)
            client.shutdown(socket.SHUT_WR)
            return {"hash": h.hexdigest()}

        self.sender = Child(send)
        client.close()

    def stop(self):
        os.close(self.stop_w)
        sent, got = self.sender.result(), self.receiver.result()
        return sent["hash"] == got["hash"]


def of_flow(path, dport, sport=None):
    return [p for p in read_pcap(path) if p.proto == 6 and p.dport == dport and (sport is None or p.sport == sport)]


def tc_show(net, dev="va"):
    out = sh("ip netns exec %s tc filter show dev %s ingress; ip netns exec %s tc filter show dev %s egress; ip netns exec %s tc qdisc show dev %s" % ((net.a, dev) * 3))
    return re.sub("direct_packets_stat [0-9]+ ", "", out)  # htb's own counter


def foreign_survive():
    """Other people's filters and qdiscs are the same before and after start, reload, stop, crash and clean."""
    with Net() as net:
        empty = tc_show(net)
        net.start("destination")
        net.stop()
        check(tc_show(net) == empty, "where nothing was, nothing is left", tc_show(net))
        obj = test_object("count")
        sh("ip netns exec %s tc qdisc add dev va root handle 1: htb" % net.a)
        sh("ip netns exec %s tc qdisc add dev va clsact" % net.a)
        sh("ip netns exec %s tc filter add dev va egress prio 1 handle 1 bpf da obj %s sec tc" % (net.a, obj))
        sh("ip netns exec %s tc filter add dev va ingress prio 1 handle 1 bpf da obj %s sec tc" % (net.a, obj))
        sh("ip netns exec %s tc filter add dev va egress prio 2 protocol ipv6 u32 match u32 0 0 flowid 1:1" % net.a)
        sh("ip netns exec %s ip link set dev va xdpgeneric obj %s sec xdp" % (net.a, obj))
        before = tc_show(net)
        net.start("destination", "rules:\n  - {protocol: tcp, experiment: atlas, activity: Analysis Input}")
        during = tc_show(net)
        check(all(line in during for line in before.splitlines() if "handle" in line), "foreign filters stay while it runs")
        net.daemon.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        check(tc_show(net) == during, "a reload changes nothing")
        sent = Stream(net, 25000, 25001)
        time.sleep(0.5)
        whole = sent.stop()
        n = 0
        for prog in re.findall(r"id (\d+) name count ", before):
            for map_id in json.loads(sh("bpftool -j prog show id " + prog))["map_ids"]:
                n += sum(e["formatted"]["value"] for e in json.loads(sh("bpftool -j map dump id %d" % map_id)))
        check(whole and n > 0, "they still see packets, behind ours or before (%d)" % n)
        check(net.status()["marked"]["packets"] > 0, "and ours marks")
        net.stop()
        check(tc_show(net) == before, "after a stop it is as it was", tc_show(net))
        net.start("destination")
        net.stop(signal.SIGKILL)
        n = try_sh("nsenter --net=/run/netns/%s %s/scitag-marker --dry-run clean" % (net.a, BIN)).stdout
        check("2 would be removed" in n, "clean --dry-run says what it would do", n)
        n = try_sh("nsenter --net=/run/netns/%s %s/scitag-marker clean" % (net.a, BIN)).stdout
        check("2 removed" in n and tc_show(net) == before, "clean removes what a crash left, and only that", n)
        xdp = json.loads(sh("ip -n %s -j link show va" % net.a))[0].get("xdp")
        check(bool(xdp), "the XDP program is still there")
        n = try_sh("nsenter --net=/run/netns/%s %s/scitag-marker -i va --dry-run run" % (net.a, BIN))
        check(n.returncode == 0 and tc_show(net) == before, "run --dry-run changes nothing", n.stderr)


def crashes():
    """kill -9 a hundred times under traffic: nothing lost, and the successor takes over without a gap."""
    with Net() as net:
        net.start("destination")
        net.ask("mark tcp %s 26000 %s 26001 atlas AnalysisInput" % (HOST_A, net.host_b))
        cap = net.capture()
        stream = Stream(net, 26000, 26001)
        before = net.counters(net.a)["TcpRetransSegs"]
        for _ in range(100):
            net.stop(signal.SIGKILL)
            net.start("destination")
        time.sleep(0.3)
        status = net.status()
        whole = stream.stop()
        packets = of_flow(cap.stop(), 26001)
        bad = sum(not is_marked(p, "destination", TAG) for p in packets)
        check(whole and not bad, "100 x kill -9 and start under traffic: %d of %d packets unmarked" % (bad, len(packets)))
        check(status["adopted"] and len(status["flows"]) == 1, "the last of them has taken over the flow")
        check(status["flows"][0]["marked"]["packets"] > 100, "with its counts", status["flows"][0])
        n = net.counters(net.a)["TcpRetransSegs"] - before
        check(n < 50, "%d retransmissions" % n)
        check(tc_show(net).count("name mark_egress") == 1, "one filter hangs there, not a hundred", tc_show(net))


def heartbeat():
    """Dead and not replaced: stamping stops within five seconds, and goes on when a successor comes."""
    with Net() as net:
        net.start("label")
        net.ask("mark tcp %s 26100 %s 26101 atlas AnalysisInput" % (HOST_A, net.host_b))
        stream = Stream(net, 26100, 26101)
        time.sleep(0.3)
        net.stop(signal.SIGKILL)
        time.sleep(5)
        cap = net.capture()
        time.sleep(0.7)
        packets = of_flow(cap.stop(), 26101)
        good = sum(is_marked(p, "label", TAG) for p in packets)
        check(packets and good == 0, "5 s after the daemon's death nothing is stamped (%d of %d)" % (good, len(packets)))
        net.start("label")
        cap = net.capture()
        time.sleep(0.5)
        packets = of_flow(cap.stop(), 26101)
        good = sum(is_marked(p, "label", TAG) for p in packets)
        check(packets and good == len(packets), "a successor takes the flow up again (%d of %d)" % (good, len(packets)))
        check(net.status()["unmarked"]["asleep"]["packets"] > 0, "what passed in between is counted")
        # SIGUSR2 hands over; no gap
        cap = net.capture()
        net.stop(signal.SIGUSR2)
        net.start("label")
        time.sleep(0.5)
        packets = of_flow(cap.stop(), 26101)
        good = sum(is_marked(p, "label", TAG) for p in packets)
        check(packets and good == len(packets), "a restart by SIGUSR2 leaves no gap (%d of %d)" % (good, len(packets)))
        check(stream.stop(), "the transfer is whole")


def tcx():
    """The same with tcx links, where there is a bpffs to pin them in."""
    with Net() as net:
        fs = net.dir + "/bpffs"
        sh("mkdir %s && mount -t bpf none %s" % (fs, fs))
        try:
            net.start("destination", "attach: tcx\nbpffs: %s" % fs)
            attached = net.status()["interfaces"][0]["attached"]
            if not check(attached == "tcx", "tcx links where there is a bpffs", attached):
                return
            check("clsact" not in tc_show(net), "and no qdisc")
            net.ask("mark tcp %s 26200 %s 26201 atlas AnalysisInput" % (HOST_A, net.host_b))
            cap = net.capture()
            stream = Stream(net, 26200, 26201)
            for _ in range(10):
                net.stop(signal.SIGKILL)
                net.start("destination", "attach: tcx\nbpffs: %s" % fs, wait=False)
                time.sleep(0.1)
            net.wait_up()
            whole = stream.stop()
            packets = of_flow(cap.stop(), 26201)
            bad = sum(not is_marked(p, "destination", TAG) for p in packets)
            check(whole and packets and not bad, "10 x kill -9: %d of %d packets unmarked" % (bad, len(packets)))
            net.stop()
            pins = [f for f in os.listdir(fs) if not f.endswith(".debug")]  # the kernel's own
            check(pins == [], "a stop leaves no pin", pins)
            left = sh("ip netns exec %s bpftool -j link show 2>/dev/null || echo '[]'" % net.a)
            check("mark_egress" not in left, "and no link")
        finally:
            try_sh("umount " + fs)


def keys():
    """Two flows with the same ports and destination from two source addresses never cross."""
    with Net(addresses_a=("fd00::11",)) as net:
        net.start("label")
        net.ask("mark tcp fd00::1 27000 %s 27001 atlas AnalysisInput" % net.host_b)
        net.ask("mark tcp fd00::11 27000 %s 27001 cms AnalysisInput" % net.host_b)
        cap = net.capture()
        server = tcp_socket(net.b, net.host_b, 27001)
        server.listen(2)
        for host in ("fd00::1", "fd00::11"):
            c = tcp_socket(net.a, host, 27000)
            c.connect((net.host_b, 27001))
            peer = server.accept()[0]
            for _ in range(50):
                c.send(b"x" * 1000)
                peer.recv(65536)
            c.close(), peer.close()
        packets = of_flow(cap.stop(), 27001)
        tags = {}
        for p in packets:
            tags.setdefault(socket.inet_ntop(socket.AF_INET6, p.src), set()).add(p.label & ~ENTROPY)
        cms = {f["src"]: (f["experiment_id"], f["activity_id"]) for f in net.status()["flows"]}
        check(tags == {h: {label_of(*cms[h])} for h in cms} and len(tags) == 2 and cms["fd00::1"] != cms["fd00::11"],
              "two source addresses, same ports and destination: each its own tag", (tags, cms))


def port_reuse():
    """A thousand connections on one five-tuple, every second one announced: no stamp of the one before."""
    with Net() as net:
        net.start("label", "linger: 1s")
        server = tcp_socket(net.b, net.host_b, 28001)
        server.listen(16)
        cap = net.capture()
        expected, stale = {}, 0
        reset = struct.pack("ii", 1, 0)
        for i in range(1000):
            if i % 2 == 0:
                net_ask_fast(net, "mark tcp %s 28000 %s 28001 atlas AnalysisInput" % (HOST_A, net.host_b))
            c = tcp_socket(net.a, HOST_A, 28000)
            c.connect((net.host_b, 28001))
            peer = server.accept()[0]
            c.send(struct.pack(">I", i) + b"y" * 100)
            peer.recv(65536)
            if i % 2 == 0 and i % 4:
                net_ask_fast(net, "unmark tcp %s 28000 %s 28001" % (HOST_A, net.host_b))
            c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            c.close(), peer.close()
        wrong = missing = connections = 0
        announced = True
        for p in of_flow(cap.stop(), 28001):
            if p.flags & 2:
                connections += 1
                announced = connections % 2 == 1
            marked = is_marked(p, "label", TAG)
            # a late reset may overtake the next SYN on the veth; it is the connection's before
            wrong += marked and not announced and not p.flags & 4
            missing += announced and not marked and not p.flags & 4
        check(connections == 1000 and not wrong and not missing, "1000 connections on the same ports: %d stale stamps, %d missing" % (wrong, missing), connections)


def net_ask_fast(net, line):
    s = socket.socket(socket.AF_UNIX)
    s.connect(net.dir + "/sock")
    s.send(line.encode() + b"\n")
    answer = b""
    while True:
        d = s.recv(65536)
        if not d:
            break
        answer += d
    return answer.decode()


def flow_ends():
    """Marks end with their flow: at END after the linger, when the socket is gone, and a full table refuses."""
    with Net() as net:
        net.start("destination", "mapSize: 16")
        pipe = open(net.dir + "/np", "w", buffering=1)
        stream = Stream(net, 29000, 29001)
        pipe.write("start tcp %s 29000 %s 29001 2 17\n" % (HOST_A, net.host_b))
        time.sleep(0.5)
        check(len(net.status()["flows"]) == 1, "a line in the pipe starts a mark")
        stream.stop()
        time.sleep(0.4)
        f = net.status()["flows"]
        check(len(f) == 1 and f[0]["ending"], "the socket is gone: the mark lingers for the last segments", f)
        time.sleep(1.2)
        check(net.status()["flows"] == [], "and ends")
        pipe.write("START TCP [%s] 29002 [%s] 29003 atlas AnalysisInput\nend tcp %s 29002 %s 29003 2 17\n" % (HOST_A, net.host_b, HOST_A, net.host_b))
        time.sleep(0.3)
        f = net.status()["flows"]
        check(len(f) == 1 and f[0]["ending"], "two events in one write, names for numbers")
        time.sleep(1.2)
        check(net.status()["flows"] == [], "END ends it after a second")
        pipe.write("start tcp ::1 1 ::2 2 3 14")
        pipe.flush()
        time.sleep(0.2)
        check(net.status()["flows"] == [], "half a line waits for its end")
        pipe.write("\nnonsense\nstart tcp ::1 1 ::2 2 512 1\nstart tcp ::1 1 ::2 2 3 64\nstart udp ::1 1 192.0.2.1 2 3 14\n" + "x" * 600 + "\n")
        time.sleep(0.3)
        e = net.status()["events"]
        check(len(net.status()["flows"]) == 1 and e["pipe"]["received"] == e["pipe"]["accepted"] + e["pipe"]["refused"] and e["pipe"]["refused"] == 5,
              "a bad line, numbers out of range, two families, a line too long: refused and counted", e)
        for i in range(30):
            pipe.write("start tcp ::1 %d ::2 2 3 14\n" % (100 + i))
        time.sleep(0.5)
        st = net.status()
        e = st["events"]
        check(len(st["flows"]) == 16 and e["refused"]["full"] == 15, "a full table refuses, and forgets nobody", (len(st["flows"]), e))
        check(e["received"] == e["started"] + e["renewed"] + e["ended"] + sum(e["refused"].values()), "every event is accounted for", e)
        text = net.ask("status --prometheus")
        check("scitag_marker_packets_total{result=\"marked\"}" in text and "scitag_marker_flows 16" in text, "status as Prometheus text")
        r = try_sh("%s/scitag-marker --conf %s/marker.yaml mark tcp ::1 1 ::2 3 cms NoSuchThing" % (BIN, net.dir))
        check(r.returncode == 1 and "no activity" in r.stderr, "a name that is not registered is refused", r)


def wildcards():
    """A cgroup and a uid as wildcards."""
    with Net() as net:
        root = [l.split()[1] for l in open("/proc/mounts") if l.split()[2] == "cgroup2"]
        net.start("label", "rules:\n  - {uid: 1234, experiment: atlas, activity: Analysis Input}"
                  + ("\n  - {cgroup: /%s, experiment: 3, activity: 14}" % net.tag if root and not try_sh("mkdir %s/%s" % (root[0], net.tag)).returncode else ""))
        server = tcp_socket(net.b, net.host_b, 30001)
        server.listen(4)
        cap = net.capture()

        def connect(uid, sport, cgroup):
            def go():
                if cgroup:
                    open("%s/%s/cgroup.procs" % (root[0], net.tag), "w").write(str(os.getpid()))
                fd_ns = InNamespace(net.a)
                with fd_ns:
                    if uid:
                        os.setresuid(uid, uid, 0)
                    c = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
                    os.setresuid(0, 0, 0)
                c.bind((HOST_A, sport))
                c.connect((net.host_b, 30001))
                c.send(b"z" * 5000)
                time.sleep(0.2)
                c.close()
                return 0
            Child(go).result()

        connect(0, 30010, False), connect(1234, 30011, False), connect(0, 30012, bool(root))
        time.sleep(0.2)
        packets = of_flow(cap.stop(), 30001)
        tag = {}
        for p in packets:
            tag.setdefault(p.sport, set()).add(p.label & ~ENTROPY)
        check(tag.get(30011) == {label_of(2, 17)} and tag.get(30010) != {label_of(2, 17)}, "a user's sockets, from the SYN on", tag)
        if root:
            check(tag.get(30012) == {label_of(3, 14)}, "a cgroup's sockets, from the SYN on", tag)
            try_sh("rmdir %s/%s" % (root[0], net.tag))
        else:
            skip("a cgroup's sockets", "no cgroup2 mounted")


def cards():
    """auto takes options where the interface can cut up packets with options, else the label; a warning says so."""
    with Net() as net:
        def chosen(strategy="auto"):
            net.start(strategy)
            s = net.status()["strategy"]
            net.stop()
            return s

        check(chosen() == "destination", "auto, an interface that segments anything: options")
        for ns, dev in ((net.a, "va"), (net.b, "vb")):
            sh("ip -n %s link set %s gso_max_size 131072" % (ns, dev))
        check(chosen() == "label", "auto, BIG TCP: the label")
        sh("ip -n %s link set va gso_max_size 65536" % net.a)
        check("40 %" not in open(net.dir + "/log").read(), "no warning so far")
        sh("ip netns exec %s ethtool -K va tso off" % net.a)
        check(chosen() == "label", "auto, no segmentation in hardware: the label")
        check(chosen("destination") == "destination" and "va driver veth cannot segment" in open(net.dir + "/log").read(),
              "asked for options all the same, it warns of the cost")


def socket_mode():
    """The mode without programs: the options on the live socket."""
    with Net(offloads=("tso off",)) as net:
        net.start("destination", "mode: socket")
        stream = Stream(net, 31000, 31001)
        time.sleep(0.2)
        net.ask("mark tcp %s 31000 %s 31001 atlas AnalysisInput" % (HOST_A, net.host_b))
        cap = net.capture()
        time.sleep(0.5)
        packets = of_flow(cap.stop(), 31001)
        good = sum(is_marked(p, "destination", TAG) for p in packets)
        check(packets and good == len(packets) and max(p.ip_bytes for p in packets) <= 1500,
              "without programs: %d of %d packets marked after the call" % (good, len(packets)))
        check("mark_egress" not in tc_show(net), "nothing hangs on the interface")
        net.ask("unmark tcp %s 31000 %s 31001" % (HOST_A, net.host_b))
        time.sleep(1.5)
        cap = net.capture()
        time.sleep(0.3)
        packets = of_flow(cap.stop(), 31001)
        check(packets and not any(is_marked(p, "destination", TAG) for p in packets), "and none after the end")
        check(stream.stop(), "the transfer is whole")


if __name__ == "__main__":
    for part in (foreign_survive, crashes, heartbeat, tcx, keys, port_reuse, flow_ends, wildcards, cards, socket_mode):
        if len(sys.argv) > 1 and part.__name__ not in sys.argv[1:]:
            continue
        try:
            part()
        except Exception as e:
            traceback.print_exc(file=sys.stdout)
            not_ok(part.__doc__, e)
    sys.exit(1 if failures else 0)
