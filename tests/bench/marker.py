"""What marking costs in throughput: unmarked and each strategy in turns, medians of the ratios.

Over a veth between two namespaces, one CPU receiving, cubic: see tests/e2e/marker_net.py."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))
from marker_net import *

ROUNDS = int(os.environ.get("ROUNDS", "7"))
SECONDS = float(os.environ.get("SECONDS_EACH", "1"))
RULE = "rules:\n  - {protocol: tcp, dstPort: 5201, experiment: atlas, activity: Analysis Input}"
FLOWS = int(os.environ.get("FLOWS", "100000"))


def gbits(net, streams):
    server = subprocess.Popen(["ip", "netns", "exec", net.b, "iperf3", "-s", "-1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    net.children.append(server)
    for _ in range(50):
        time.sleep(0.05)
        r = try_sh("ip netns exec %s iperf3 -6 -c %s -C cubic -t %g -P %d -J" % (net.a, net.host_b, SECONDS, streams))
        if r.returncode == 0:
            break
    server.wait(10)
    end = json.loads(r.stdout)["end"]
    return end["sum_received"]["bits_per_second"] / 1e9, end["sum_sent"]["retransmits"]


def median(v):
    v = sorted(v)
    return v[len(v) // 2]


def compare(mtu, streams, tso, strategies):
    with Net(mtu=mtu, offloads=() if tso else ("tso off",)) as net:
        speed = {s: [] for s in (None,) + strategies}
        retrans = {s: 0 for s in speed}
        for _ in range(ROUNDS):
            for s in speed:
                if s:
                    net.start(s, RULE)
                g, r = gbits(net, streams)
                speed[s].append(g)
                retrans[s] += r
                if s:
                    share = net.status()
                    if any(v["packets"] for v in share["unmarked"].values()) or not share["marked"]["packets"]:
                        print("    not all marked:", share["unmarked"])
                    net.stop()
        text = []
        for s in strategies:
            ratio = median([a / b for a, b in zip(speed[s], speed[None])])
            text.append("%s %.2f (%d retransmissions)" % (s, ratio, retrans[s]))
        print("MTU %d, %d stream%s, TSO %s: unmarked %.1f Gbit/s (%d); %s" % (
            mtu, streams, "s" if streams > 1 else "", "on" if tso else "off", median(speed[None]), retrans[None], ", ".join(text)), flush=True)


def unmarked_among_many():
    """Traffic that is not marked, while 100,000 flows are."""
    with Net() as net:
        ratios = []
        for _ in range(ROUNDS):
            base = gbits(net, 1)[0]
            net.start("label", "mapSize: %d" % (FLOWS + 10))
            with open(net.dir + "/np", "w") as pipe:
                for i in range(FLOWS):
                    pipe.write("start tcp fd00::1 %d fd00:1::%x %d 2 17\n" % (1 + i % 60000, i, 1 + i // 60000))
            for _ in range(100):
                if "scitag_marker_flows %d\n" % FLOWS in net.ask("status --prometheus"):
                    break
                time.sleep(0.1)
            ratios.append(gbits(net, 1)[0] / base)
            net.stop()
        print("unmarked traffic with %d flows loaded: %.2f of the speed without a marker" % (FLOWS, median(ratios)), flush=True)


if __name__ == "__main__":
    three = ("label", "destination", "hopByHopDestination")
    for mtu in (1500, 9000):
        for streams in (1, 16):
            compare(mtu, streams, True, three)
    for mtu in (1500, 9000):
        compare(mtu, 1, False, ("label", "destination"))
    unmarked_among_many()
