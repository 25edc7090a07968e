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
        base = [transfer(net, 21000 + i, 22000, 1.5)[0] for i in range(3)]
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
            # the captures cost something too, and the machine may be busy: a stall is another order of magnitude
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


def loss(rounds):
    """0.1 % of the frames lost at the far end's ingress: what the marked run keeps of its speed, as a share of
    what the unmarked one keeps; one figure a round."""
    ratios, ports = [], iter(range(23000, 24000))
    with Net() as net:
        obj = test_object("lose")
        sh("ip netns exec %s tc qdisc add dev vb clsact" % net.b)
        sh("ip netns exec %s ethtool -K va tso off" % net.a)
        for _ in range(rounds):
            kept = {}
            for marked in (False, True):
                if marked:
                    net.start("destination")
                speed = {}
                for lossy in (False, True):
                    if lossy:
                        sh("ip netns exec %s tc filter add dev vb ingress prio 1 bpf da obj %s sec tc" % (net.b, obj))
                    sport, dport = next(ports), 24000 + marked
                    if marked:
                        net.ask("mark tcp %s %d %s %d atlas AnalysisInput" % (HOST_A, sport, net.host_b, dport))
                    speed[lossy], whole = transfer(net, sport, dport, 1.2)
                    if not whole:
                        not_ok("a transfer with loss arrives whole")
                sh("ip netns exec %s tc filter del dev vb ingress" % net.b)
                kept[marked] = speed[True] / speed[False]
                net.stop()
            ratios.append(kept[True] / kept[False])
    return sorted(ratios)


if __name__ == "__main__":
    if sys.argv[1:] == ["loss"]:
        ratios = loss(7)
        print("0.1 %% loss leaves the marked run %.2f of what it leaves the unmarked, median of 7 (%s)" % (
            ratios[3], " ".join("%.2f" % r for r in ratios)))
        sys.exit(1 if failures else 0)
    path_mtu()
    ratios = loss(3)
    # not a measurement: packets that grew beyond the MTU after a loss would stall it for good
    check(ratios[1] > 0.2, "0.1 %% loss stalls no marked transfer (%.2f of what it leaves the unmarked)" % ratios[1], ratios)
    sys.exit(1 if failures else 0)
