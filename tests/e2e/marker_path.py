"""A path whose MTU is smaller behind a router: full speed and every packet marked, for every strategy;
and the stall without the half that looks at Packet Too Big. Then loss on the way."""

from marker_net import *

TAG = (2, 17)
MB = 1 << 20


def transfer(net, sport, dport, seconds, total=None):
    """Bytes that arrived in so many seconds, and the hash agreement when a total was given."""
    server = tcp_socket(net.b, net.host_b, dport)
    server.listen(1)
    child = Child(lambda: receive_all(server.accept()[0]))
    client = tcp_socket(net.a, HOST_A, sport)
    client.connect((net.host_b, dport))
    client.settimeout(seconds + 3)
    block, sent, h, start = pattern(MB), 0, hashlib.blake2b(), time.monotonic()
    try:
        while (total and sent < total) or (not total and time.monotonic() - start < seconds):
            n = client.send(block)
            h.update(block[:n])
            sent += n
            if time.monotonic() - start > seconds:
                break
    except TimeoutError:
        pass
    took = time.monotonic() - start
    # what still lies in the send queue of a stalled connection is not waited for
    left = struct.unpack("I", __import__("fcntl").ioctl(client.fileno(), 0x5411, b"\0" * 4))[0]
    if left > 8 * MB or (left and took > seconds + 2):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        try:
            child.result()
        except RuntimeError:
            pass
        return (sent - left) / took, False
    client.shutdown(socket.SHUT_WR)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and struct.unpack("I", __import__("fcntl").ioctl(client.fileno(), 0x5411, b"\0" * 4))[0]:
        time.sleep(0.01)
    took = time.monotonic() - start
    if time.monotonic() >= deadline:
        os.kill(child.pid, signal.SIGKILL)
        return 0.0, False
    got = child.result()
    client.close(), server.close()
    return got["bytes"] / took, got["hash"] == h.hexdigest()


def path_mtu():
    base = []
    with Net(router_mtu=1400, offloads=()) as net:
        sh("ip netns exec %s ethtool -K va tso off gso off" % net.a)
        for i in range(3):
            cap = net.capture()  # as below: it costs something too
            base.append(transfer(net, 21000 + i, 22000, 1.5)[0])
            cap.stop()
    best = sorted(base)[1]
    for strategy in ("label", "destination", "hopByHop", "hopByHopDestination"):
        with Net(router_mtu=1400) as net:
            sh("ip netns exec %s ethtool -K va tso off gso off" % net.a)
            net.start(strategy)
            speeds = []
            for i in range(3):
                sport, dport = 21000 + i, 22000 + i
                net.ask("mark tcp %s %d %s %d atlas AnalysisInput" % (HOST_A, sport, net.host_b, dport))
                cap = net.capture()
                speed, whole = transfer(net, sport, dport, 1.5)
                packets = [p for p in read_pcap(cap.stop()) if p.proto == 6 and p.dport == dport]
                good = sum(is_marked(p, strategy, TAG) for p in packets)
                speeds.append(speed)
                if not whole or good != len(packets) or not packets or max(p.ip_bytes for p in packets) > 1400:
                    not_ok("%s over a 1400-byte link" % strategy, "whole %s, %d of %d marked, longest %d" % (
                        whole, good, len(packets), max(p.ip_bytes for p in packets)))
            speed = sorted(speeds)[1]
            # the machine may be busy: a stall is another order of magnitude
            check(speed > 0.25 * best, "%s: a 1400-byte link behind a router, 100 %% marked, %.2f of the unmarked speed" % (strategy, speed / best),
                  "%.0f Mbit/s, unmarked %.0f" % (speed * 8e-6, best * 8e-6))
    # the control: take the ingress half away and the same transfer stalls
    with Net(router_mtu=1400) as net:
        sh("ip netns exec %s ethtool -K va tso off gso off" % net.a)
        net.start("destination")
        sh("ip netns exec %s tc filter del dev va ingress" % net.a)
        net.ask("mark tcp %s 21000 %s 22000 atlas AnalysisInput" % (HOST_A, net.host_b))
        speed, whole = transfer(net, 21000, 22000, 2)
        check(speed < 0.05 * best, "without the ingress half it stalls (%.3f of the unmarked speed)" % (speed / best), speed)


def loss(rounds, strategies):
    """20 MiB over a wire with a round trip of 10 ms that loses 0.1 %, the same frames every time: the speed of marked
    transfers as shares of the unmarked one's of the same round; of each strategy, sorted."""
    shares, ports = {s: [] for s in strategies}, iter(range(23000, 24000))
    # 50 Mbit/s is little work, and must not wait for what else the machine does
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(5))
    with Net(wire=(0.005, 0.001)) as net:
        for n in range(rounds):
            speed, turns = {}, (None,) + strategies
            for strategy in turns if n % 2 else turns[::-1]:
                sport = next(ports)
                if strategy:
                    net.start(strategy)
                    net.ask("mark tcp %s %d %s 24000 atlas AnalysisInput" % (HOST_A, sport, net.host_b))
                os.kill(net.wire_pid, signal.SIGUSR1)
                speed[strategy], whole = transfer(net, sport, 24000, 30, 20 * MB)
                if not whole:
                    not_ok("%s: a transfer with loss arrives whole" % strategy)
                if strategy:
                    s = net.status()
                    if not s["marked"]["packets"] or any(v["packets"] for v in s["unmarked"].values()):
                        not_ok("%s: a transfer with loss is marked" % strategy, s["unmarked"])
                net.stop()
            for s in strategies:
                shares[s].append(speed[s] / speed[None])
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return {s: sorted(v) for s, v in shares.items()}


if __name__ == "__main__":
    if sys.argv[1:] == ["loss"]:
        for s, shares in loss(5, ("destination", "hopByHopDestination")).items():
            print("0.1 %% loss, 10 ms: %-20s %.2f of the unmarked (%s)" % (s, shares[2], " ".join("%.2f" % v for v in shares)))
        sys.exit(1 if failures else 0)
    path_mtu()
    for s, shares in loss(3, ("destination",)).items():
        check(shares[1] > 0.8, "0.1 %% loss leaves %s %.2f of what it leaves the unmarked" % (s, shares[1]), shares)
    sys.exit(1 if failures else 0)
