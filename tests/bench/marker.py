"""What marking costs in throughput: unmarked and each strategy in turns, medians and quartiles of the ratios.

Each turn is a second of iperf3 with cubic over a veth of its own between two namespaces, the sender and all its
softirqs on one CPU, the receiver on the other. The turns of a round follow each other at once, every other round
backwards, so that what else the machine does meets all alike; the ratios are of the same round. "Per CPU second":
bytes over the time that all CPUs were busy, whatever they did."""

import contextlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))
from marker_net import *

ROUNDS = int(os.environ.get("ROUNDS", "11"))
SECONDS = int(os.environ.get("SECONDS_EACH", "1"))
RULE = "rules:\n  - {protocol: tcp, dstPort: 5201, experiment: atlas, activity: Analysis Input}"
FLOWS = int(os.environ.get("FLOWS", "100000"))


def busy_s():
    """Seconds that the CPUs worked since they were started: user, nice, system, irq, softirq."""
    with open("/proc/stat") as f:
        t = [int(x) for x in f.readline().split()[1:]]
    return (sum(t[:3]) + t[5] + t[6]) / os.sysconf("SC_CLK_TCK")


def prepare(net):
    """A sends and takes its acknowledgements on CPU 0, B receives on CPU 1."""
    sh("ip netns exec %s sh -c 'echo 1 > /sys/class/net/va/queues/rx-0/rps_cpus'" % net.a)
    net.children.append(subprocess.Popen(["ip", "netns", "exec", net.b, "taskset", "-c", "1", "iperf3", "-s"],
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))


def turn(net, streams):
    """Gbit a second, Gbit a CPU second, retransmissions."""
    for _ in range(20):
        before = busy_s()
        r = try_sh("ip netns exec %s taskset -c 0 iperf3 -6 -c %s -C cubic -t %d -P %d -J" % (net.a, net.host_b, SECONDS, streams))
        if r.returncode == 0:
            break
        time.sleep(0.1)
    end = json.loads(r.stdout)["end"]
    took = busy_s() - before
    return end["sum_received"]["bits_per_second"] / 1e9, end["sum_received"]["bytes"] * 8e-9 / took, end["sum_sent"]["retransmits"]


def quartiles(v):
    """Lower quartile, median, upper quartile."""
    v = sorted(v)
    return [(v[int(i)] + v[-int(-i // 1)]) / 2 for i in [(len(v) - 1) * q for q in (0.25, 0.5, 0.75)]]


def rounds(nets, streams):
    """The results of each net: throughput, per CPU second, retransmissions; one a round."""
    results = {name: ([], [], []) for name in nets}
    for n in range(ROUNDS + 1):
        for name in list(nets) if n % 2 else reversed(list(nets)):
            for values, value in zip(results[name], turn(nets[name], streams)):
                if n:  # the first is to warm up
                    values.append(value)
    return results


def report(name, results, base):
    speed, work = (quartiles([a / b for a, b in zip(results[i], base[i])]) for i in (0, 1))
    print("    %-20s %.3f of the throughput (%.2f to %.2f), %.3f per CPU second (%.2f to %.2f), %d retransmissions" % (
        name, speed[1], speed[0], speed[2], work[1], work[0], work[2], sum(results[2])), flush=True)


def compare(mtu, streams, strategies, tso=True, gro=False):
    with contextlib.ExitStack() as stack:
        nets = {s: stack.enter_context(Net(mtu=mtu, offloads=() if tso else ("tso off",))) for s in ("unmarked",) + strategies}
        for name, net in nets.items():
            prepare(net)
            if gro:
                sh("ip netns exec %s ethtool -K vb gro on" % net.b)
            if name in strategies:
                net.start(name, RULE)
        results = rounds(nets, streams)
        base = results["unmarked"]
        print("MTU %d, %d stream%s, TSO %s%s: unmarked %.1f Gbit/s, %.1f Gbit per CPU second, %d retransmissions, medians of %d" % (
            mtu, streams, "s" if streams > 1 else "", "on" if tso else "off", ", GRO" if gro else "",
            quartiles(base[0])[1], quartiles(base[1])[1], sum(base[2]), ROUNDS))
        for name in strategies:
            report(name, results[name], base)
            status = nets[name].status()
            if any(v["packets"] for v in status["unmarked"].values()) or not status["marked"]["packets"]:
                print("    not all marked:", status["unmarked"])


def unmarked_among_many():
    """Traffic that is not marked, while 100,000 flows are."""
    with Net() as without, Net() as among:
        prepare(without), prepare(among)
        among.start("label", "mapSize: %d" % (FLOWS + 10))
        with open(among.dir + "/np", "w") as pipe:
            for i in range(FLOWS):
                pipe.write("start tcp fd00::1 %d fd00:1::%x:%x 1 2 17\n" % (1 + i % 60000, i >> 16, i & 0xFFFF))
        for _ in range(100):
            if "scitag_marker_flows %d\n" % FLOWS in among.ask("status --prometheus"):
                break
            time.sleep(0.1)
        else:
            print("    not all flows were taken")
        results = rounds({"without": without, "among": among}, 1)
        print("unmarked traffic against a host without a marker, medians of %d" % ROUNDS)
        report("%d flows loaded" % FLOWS, results["among"], results["without"])


def in_place():
    """What the program on the way out takes among everything else, caches as they are: the kernel's own measure."""
    before = sh("sysctl -n kernel.bpf_stats_enabled").strip()
    try:
        sh("sysctl -qw kernel.bpf_stats_enabled=1")
        for name in ("unmarked", "label", "destination", "hopByHopDestination"):
            with Net() as net:
                prepare(net)
                net.start("label" if name == "unmarked" else name, "" if name == "unmarked" else RULE)
                prog = json.loads(sh("ip netns exec %s tc -j filter show dev va egress" % net.a))[-1]["options"]["prog"]["id"]
                ran = [(0, 0)]
                for _ in range(3):
                    turn(net, 1)
                    p = json.loads(sh("bpftool -j prog show id %d" % prog))
                    ran.append((p["run_time_ns"], p["run_cnt"]))
                ns, of_cpu = zip(*sorted(((b[0] - a[0]) / (b[1] - a[1]), (b[0] - a[0]) * 1e-7 / SECONDS) for a, b in zip(ran, ran[1:])))
                print("way out, MTU 1500, a stream, each packet of up to 64 KiB: %-20s %3.0f ns, %.1f %% of one CPU" % (name, ns[0], of_cpu[1]), flush=True)
    finally:
        sh("sysctl -qw kernel.bpf_stats_enabled=" + before)


if __name__ == "__main__":
    in_place()
    for mtu in (1500, 9000):
        for streams in (1, 16):
            compare(mtu, streams, ("label", "destination", "hopByHopDestination"))
    compare(1500, 1, ("label", "destination"), tso=False)
    compare(1500, 1, ("destination",), tso=False, gro=True)
    compare(9000, 1, ("destination",), tso=False)
    unmarked_among_many()
