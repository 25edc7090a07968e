"""What marking costs in throughput: unmarked and each strategy in turns, medians of the ratios.

Over a veth between two namespaces, one CPU receiving, cubic: see tests/e2e/marker_net.py."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))
from marker_net import *

ROUNDS = int(os.environ.get("ROUNDS", "7"))
SECONDS = int(os.environ.get("SECONDS_EACH", "1"))
RULE = "rules:\n  - {protocol: tcp, dstPort: 5201, experiment: atlas, activity: Analysis Input}"
FLOWS = int(os.environ.get("FLOWS", "100000"))


def gbits(net, streams):
    if not net.children:
        net.children.append(subprocess.Popen(["ip", "netns", "exec", net.b, "iperf3", "-s"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    for _ in range(50):
        time.sleep(0.1)
        r = try_sh("ip netns exec %s iperf3 -6 -c %s -C cubic -t %d -P %d -J" % (net.a, net.host_b, SECONDS, streams))
        if r.returncode == 0:
            break
    end = json.loads(r.stdout)["end"]
    gbits_s = end["sum_received"]["bits_per_second"] / 1e9
    # what the sender makes of a second of its CPU: it is the sender that marks, and on a machine that
    # does other things too this tells more than what arrived in a second of the wall clock
    per_cpu_s = gbits_s / (end["cpu_utilization_percent"]["host_total"] / 100)
    return gbits_s, per_cpu_s, end["sum_sent"]["retransmits"]


def median(v):
    v = sorted(v)
    return v[len(v) // 2]


def compare(mtu, streams, tso, strategies):
    with Net(mtu=mtu, offloads=() if tso else ("tso off",)) as net:
        turns = (None,) + strategies
        speed, work, retrans = ({s: [] for s in turns} for _ in range(3))
        for n in range(ROUNDS):
            for s in turns[n % len(turns):] + turns[:n % len(turns)]:  # nobody is always first
                if s:
                    net.start(s, RULE)
                    time.sleep(0.2)
                for results, value in zip((speed, work, retrans), gbits(net, streams)):
                    results[s].append(value)
                if s:
                    share = net.status()
                    if any(v["packets"] for v in share["unmarked"].values()) or not share["marked"]["packets"]:
                        print("    not all marked:", share["unmarked"])
                    net.stop()
        print("MTU %d, %d stream%s, TSO %s: unmarked %.1f Gbit/s, %.1f Gbit a second of the sender's CPU, %d retransmissions" % (
            mtu, streams, "s" if streams > 1 else "", "on" if tso else "off", median(speed[None]), median(work[None]), sum(retrans[None])))
        for s in strategies:
            ratio, of_work = (median([a / b for a, b in zip(v[s], v[None])]) for v in (speed, work))
            print("    %-20s %.2f of the throughput, %.2f per CPU second, %d retransmissions" % (s, ratio, of_work, sum(retrans[s])), flush=True)


def unmarked_among_many():
    """Traffic that is not marked, while 100,000 flows are."""
    with Net() as net:
        ratios = []
        for _ in range(ROUNDS):
            base = gbits(net, 1)[1]
            net.start("label", "mapSize: %d" % (FLOWS + 10))
            with open(net.dir + "/np", "w") as pipe:
                for i in range(FLOWS):
                    pipe.write("start tcp fd00::1 %d fd00:1::%x %d 2 17\n" % (1 + i % 60000, i, 1 + i // 60000))
            for _ in range(100):
                if "scitag_marker_flows %d\n" % FLOWS in net.ask("status --prometheus"):
                    break
                time.sleep(0.1)
            ratios.append(gbits(net, 1)[1] / base)
            net.stop()
        print("unmarked traffic with %d flows loaded: %.2f of what a second of the sender's CPU does without a marker" % (FLOWS, median(ratios)), flush=True)


if __name__ == "__main__":
    three = ("label", "destination", "hopByHopDestination")
    for mtu in (1500, 9000):
        for streams in (1, 16):
            compare(mtu, streams, True, three)
    for mtu in (1500, 9000):
        compare(mtu, 1, False, ("label", "destination"))
    unmarked_among_many()
