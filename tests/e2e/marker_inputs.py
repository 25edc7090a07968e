"""What each input of the marker does on the wire: the HTTP API, the iperf3 ports, perfSONAR's match-all,
the scan of connections by rules; then a flood of lines and posts, and a table that is full."""

import os
import signal
import socket
import struct
import sys
import threading
import time
import traceback

import marker_net
from marker_net import (BIN, ENTROPY, HOST_A, Child, InNamespace, Net, check, is_marked, json, label_of, not_ok, read_pcap,
                        sh, skip, strategy_filter, tcp_socket, try_sh, tshark_count)

ATLAS, CMS = (2, 17), (3, 14)
FLOOD_S = int(os.environ.get("FLOOD_S", "5"))  # longer than the heartbeat's patience of 4 s


def start(net, plugins="", backends="", marker="", strategy="label", before=""):
    """Net.start with more sections; `before` runs in front of it, in a shell of its own."""
    conf = net.dir + "/marker.yaml"
    with open(conf, "w") as f:
        f.write("backends:\n  marker:\n    targetInterfaces: [va]\n    markingStrategy: %s\n%s%splugins:\n  namedPipe: {pipePath: %s/np}\n%s"
                "control: {path: %s/sock}\n" % (strategy, marker, backends, net.dir, plugins, net.dir))
    net.log = open(net.dir + "/log", "a")
    net.daemon = marker_net.subprocess.Popen(
        "exec nsenter --net=/run/netns/%s %s%s/scitag-marker --conf %s --log-level debug run" % (net.a, before, BIN, conf),
        shell=True, stderr=net.log, stdout=net.log)
    net.wait_up()


def curl(net, body, words="http://127.0.0.1:7777/flow"):
    """Status and answer of a POST from the marker's own namespace."""
    out = try_sh("nsenter --net=/run/netns/%s curl -s -w '\\n%%{http_code}' -X POST -H 'Content-Type: application/json' -d '%s' %s"
                 % (net.a, json.dumps(body), words)).stdout.rsplit("\n", 1)
    return int(out[1]), json.loads(out[0] or "null")


def event(state, src_port, dst_port, tag=CMS, host=HOST_A, to="fd00::2", **more):
    return dict({"State": state, "Protocol": 0, "Family": 10, "Src": "[%s]:%d" % (host, src_port), "Dst": "[%s]:%d" % (to, dst_port),
                 "Experiment": tag[0], "Activity": tag[1]}, **more)


class Server:
    """Accepts and reads whatever comes, in a thread."""

    def __init__(self, net, port):
        self.listener = tcp_socket(net.b, net.host_b, port)
        self.listener.listen(64)
        self.peers = []
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        try:
            while True:
                peer = self.listener.accept()[0]
                self.peers.append(peer)
                threading.Thread(target=self.read, args=(peer,), daemon=True).start()
        except OSError:
            pass

    @staticmethod
    def read(peer):
        try:
            while peer.recv(1 << 16):
                pass
        except OSError:
            pass
        peer.close()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def connect(net, src_port, dst_port):
    s = tcp_socket(net.a, HOST_A, src_port)
    s.connect((net.host_b, dst_port))
    return s


def talk(s, n=20):
    for _ in range(n):
        s.send(b"x" * 3000)
        time.sleep(0.002)


def packets(path, dst_port=None, src_port=None):
    return [p for p in read_pcap(path) if (dst_port is None or p.dport == dst_port) and (src_port is None or p.sport == src_port)]


def marked(ps, tag, strategy="label"):
    return sum(is_marked(p, strategy, tag) for p in ps)


def api():
    """POST /flow: marked on the wire from the answer on, and no longer than a second after the end."""
    with Net() as net:
        start(net, "  api: {socketPath: %s/api}\n" % net.dir)
        server = Server(net, 40000)
        s = connect(net, 50000, 40000)
        status, body = curl(net, event(2, 50000, 40000))
        check(status == 200 and body["Src"] == "[fd00::1]:50000" and body["StartTs"], "POST /flow answers with the event, its time filled in", body)
        cap = net.capture()
        talk(s)
        path = cap.stop()
        ps = packets(path, 40000)
        check(ps and marked(ps, CMS) == len(ps), "every packet after the answer is marked (%d of %d)" % (marked(ps, CMS), len(ps)))
        n = tshark_count(path, "tcp.dstport == 40000 && " + strategy_filter("label", CMS))
        check(n == len(ps), "tshark sees the same labels (%d)" % n)
        out = try_sh("%s/scitag read --json %s" % (BIN, path))
        tags = [(t["experiment_id"], t["activity_id"]) for t in json.loads(out.stdout)["tags"]] if out.returncode == 0 else out.stderr
        check(CMS in tags if isinstance(tags, list) else False, "and so does the reader", tags)
        status, _ = curl(net, event(3, 50000, 40000), "--unix-socket %s/api http://localhost/flow" % net.dir)
        check(status == 200, "the end over the Unix socket")
        time.sleep(1.5)
        cap = net.capture()
        talk(s)
        ps = packets(cap.stop(), 40000)
        check(ps and marked(ps, CMS) == 0, "a second after the end none is marked (%d of %d)" % (marked(ps, CMS), len(ps)))
        for what, tag in (("512/1", (512, 1)), ("3/64", (3, 64)), ("65535/65535", (65535, 65535))):
            status, body = curl(net, event(2, 50000, 40000, tag))
            check(status == 422 and body["message"], "%s: 422 with the reason" % what, body)
        code = lambda words: try_sh("nsenter --net=/run/netns/%s curl -s -o /dev/null -w '%%{http_code}' %s" % (net.a, words)).stdout
        check(code("http://127.0.0.1:7777/") == "200" and code("http://127.0.0.1:7777/dummy/start") == "404", "the routes are listed, no dummy unless enabled")
        check(code("-H 'Host: elsewhere.example' http://127.0.0.1:7777/") == "421", "a Host of somebody else's is refused")
        check(code("-X POST -d '%s' http://127.0.0.1:7777/flow" % json.dumps(event(2, 50000, 40000))) == "400", "a form's content type is refused")
        check(net.status()["flows"] == [], "and nothing of it is marked", net.status()["flows"])
        mode = os.stat(net.dir + "/api").st_mode & 0o777
        check(mode == 0o660, "the Unix socket is for its group", oct(mode))
        s.close(), server.close()


def iperf3():
    """Connections on the ports get one tag after another; each keeps its own to the end."""
    with Net() as net:
        start(net, "  iperf3: {minDestinationPort: 5201, maxDestinationPort: 5210, experimentIDs: [2, 3], activityIDs: [17, 14]}\n")
        first, second, other = Server(net, 5201), Server(net, 5210), Server(net, 5211)
        conns = [connect(net, 50001, 5201), connect(net, 50002, 5210), connect(net, 50003, 5201), connect(net, 50004, 5211)]
        time.sleep(0.3)
        tags = {f["src_port"]: (f["experiment_id"], f["activity_id"]) for f in net.status()["flows"]}
        check(tags == {50001: ATLAS, 50002: CMS, 50003: ATLAS}, "three connections within the ranges, tags in turn; the fourth is outside", tags)
        cap = net.capture()
        for s in conns:
            talk(s)
        conns[0].close()
        time.sleep(0.3)
        st = net.status()
        path = cap.stop()
        for port, tag in ((50001, ATLAS), (50002, CMS), (50003, ATLAS)):
            ps = packets(path, src_port=port)
            check(ps and marked(ps, tag) == len(ps), "port %d: every packet carries %d/%d, the FIN too (%d of %d)" % (port, *tag, marked(ps, tag), len(ps)))
        ps = packets(path, src_port=50004)
        check(ps and not marked(ps, ATLAS) and not marked(ps, CMS), "the one outside the ranges is not marked")
        ending = [f["src_port"] for f in st["flows"] if f["ending"]]
        check(ending == [50001], "the close of the first ends the first, not the newest", ending)
        for s in conns[1:]:
            s.close()
        time.sleep(1.6)
        check(net.status()["flows"] == [], "and all end with their connections", net.status()["flows"])
        if try_sh("command -v iperf3").returncode:
            skip("iperf3 itself", "it is not installed")
        else:
            cap = net.capture()
            first.close()
            time.sleep(0.1)
            daemon = marker_net.subprocess.Popen(["ip", "netns", "exec", net.b, "iperf3", "-s", "-1", "-p", "5205"], stdout=marker_net.subprocess.DEVNULL)
            net.children.append(daemon)
            time.sleep(0.3)
            r = try_sh("ip netns exec %s iperf3 -6 -c %s -p 5205 -n 20M -P 2 -C cubic" % (net.a, net.host_b))
            daemon.wait(10)
            path = cap.stop()
            ps = [p for p in packets(path, 5205) if p.payload > 1000]
            n = marked(ps, ATLAS) + marked(ps, CMS)
            check(r.returncode == 0 and ps and n >= 0.9 * len(ps), "iperf3 itself: %d of %d data packets marked, the first ones before its START is heard" % (n, len(ps)), r.stderr)
        second.close(), other.close()


def no_cgroup():
    """Where no cgroup2 file system is mounted, looks at all sockets find the connections."""
    with Net() as net:
        hide = "unshare -m sh -c 'grep cgroup2 /proc/self/mounts | while read -r _ d _; do umount -l \"$d\"; done; exec \"$@\"' - "
        start(net, "  iperf3: {minDestinationPort: 5201, maxDestinationPort: 5201, experimentIDs: [3], activityIDs: [14]}\n", before=hide)
        said = open(net.dir + "/log").read()
        check("looking at all sockets" in said, "the marker says that it looks instead", said)
        server = Server(net, 5201)
        s = connect(net, 50005, 5201)
        time.sleep(1.6)
        cap = net.capture()
        talk(s)
        ps = packets(cap.stop(), 5201)
        check(ps and marked(ps, CMS) == len(ps), "and finds a connection within a second or so (%d of %d)" % (marked(ps, CMS), len(ps)))
        s.close()
        time.sleep(1.6)
        check(net.status()["flows"] == [], "and its end")
        server.close()


def perfsonar():
    """The match-all of perfSONAR's section marks TCP, UDP and SCTP, and nothing else."""
    with Net() as net:
        start(net, "  perfsonar: {experimentId: 3, activityId: 14}\n")
        server = Server(net, 861)
        cap = net.capture()
        s = connect(net, 50010, 861)
        talk(s)
        with InNamespace(net.a):
            u = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 132)
        for _ in range(10):
            u.sendto(b"y" * 100, (net.host_b, 862))
            # SCTP's common header, and a DATA chunk; its checksum is not looked at on the way
            raw.sendto(struct.pack(">HHII", 50011, 863, 1, 0) + struct.pack(">BBHIHHI", 0, 3, 20, 1, 0, 0, 0) + b"data", (net.host_b, 0))
        try_sh("ip netns exec %s ping -c 3 -i 0.1 %s" % (net.a, net.host_b))
        s.close()
        time.sleep(0.1)
        path = cap.stop()
        for name, proto in (("TCP", 6), ("UDP", 17), ("SCTP", 132)):
            ps = [p for p in read_pcap(path) if p.proto == proto]
            check(len(ps) >= 10 and marked(ps, CMS) == len(ps), "%s: all marked, from the first packet on (%d of %d)" % (name, marked(ps, CMS), len(ps)))
        ps = [p for p in read_pcap(path) if p.proto == 58]
        check(ps and not marked(ps, CMS), "ICMPv6 is not")
        server.close()


def scan():
    """Rules: connections that exist are marked at once, new ones from the SYN on; ports, prefixes, user, unit."""
    with Net() as net:
        mounts = [l.split()[1] for l in open("/proc/mounts") if l.split()[2] == "cgroup2"]
        unit = "%s.service" % net.tag
        group = "%s/%s" % (mounts[0], unit) if mounts else None
        server, other = Server(net, 40000), Server(net, 40001)
        old = [connect(net, 20000 + i, 40000) for i in range(50)]  # before the marker starts
        began = time.monotonic()
        start(net, "  scan:\n    rules:\n"
                   "      - {localPorts: [1094, 20000-20999], remotePrefixes: ['fd00::/64'], experiment: cms, activity: 14}\n"
                   "      - {localPorts: 1094, remotePrefixes: ['2001:db8::/32'], experiment: lhcb, activity: 1}\n"
                   "      - {uid: 1234, experiment: atlas, activity: Analysis Input}\n"
                   "      - {unit: %s, experiment: 5, activity: 1}\n" % unit)
        took = time.monotonic() - began
        flows = net.status()["flows"]
        check(len(flows) == 50, "50 connections that existed are flows when the marker answers", len(flows))
        check(took < 5, "after %.1f s, not 2 s for each (flowd)" % took)
        cap = net.capture()
        for s in old:
            talk(s, 2)
        new = connect(net, 1094, 40000)
        out = connect(net, 1095, 40001)
        talk(new), talk(out)
        new.close(), out.close()
        time.sleep(0.2)
        path = cap.stop()
        ps = [p for p in packets(path, 40000) if p.sport >= 20000]
        check(len(ps) >= 100 and marked(ps, CMS) == len(ps), "every packet of theirs from then on is marked (%d of %d)" % (marked(ps, CMS), len(ps)))
        ps = packets(path, 40000, 1094)
        syn = [p for p in ps if p.flags & 2]
        check(len(syn) == 1 and marked(ps, CMS) == len(ps), "a new one from its SYN to its last segment (%d of %d)" % (marked(ps, CMS), len(ps)))
        ps = packets(path, 40001)
        check(ps and not marked(ps, CMS), "a port that no rule names is not")

        def reload(change):
            conf = net.dir + "/marker.yaml"
            text = open(conf).read()
            open(conf, "w").write(change(text))
            read = lambda: sum(open(net.dir + "/log").read().count(w) for w in ("configuration read again", "reload: the old", "reload: back"))
            n, end = read(), time.monotonic() + 5
            net.daemon.send_signal(signal.SIGHUP)
            while read() == n and time.monotonic() < end:
                time.sleep(0.01)

        def tags_on(port):
            cap = net.capture()
            c = connect(net, port, 40001)
            talk(c, 3)
            c.close()
            return {p.label & ~ENTROPY for p in packets(cap.stop(), 40001, port)}

        rules = net.status()["rules"]
        reload(lambda t: t.replace("localPorts: 1094, remotePrefixes: ['2001:db8::/32']", "localPorts: 1096"))
        check(tags_on(1096) == {label_of(4, 1)} and len(net.status()["rules"]) == len(rules), "a rule that a reload changed is in force")
        reload(lambda t: t.replace("localPorts: 1096", "localPorts: 1097").replace("experiment: 5", "experiment: nobody"))
        time.sleep(1)  # the linger of what was on port 1096
        check(tags_on(1098) != {label_of(4, 1)} and tags_on(1096) == {label_of(4, 1)} and len(net.status()["rules"]) == len(rules),
              "a reload that fails leaves the old rules, once each", len(net.status()["rules"]))
        reload(lambda t: t.replace("experiment: nobody", "experiment: 5").replace("experiment: cms, activity: 14", "experiment: atlas, activity: 17"))
        cap = net.capture()
        talk(old[0], 3)
        check(tags_on(1097) == {label_of(4, 1)}, "and the next one takes them up")
        ps = [p for p in packets(cap.stop(), 40000) if p.sport >= 20000]
        flows = [f for f in net.status()["flows"] if not f["ending"]]
        check(ps and marked(ps, ATLAS) == len(ps) and len(flows) == 50 and {f["experiment_id"] for f in flows} == {2},
              "connections that are known follow their rule (%d of %d packets)" % (marked(ps, ATLAS), len(ps)), flows[:2])

        def as_user(uid, port, cgroup):
            if cgroup:
                with open(cgroup + "/cgroup.procs", "w") as f:
                    f.write(str(os.getpid()))
            with InNamespace(net.a):
                if uid:
                    os.setresuid(uid, uid, 0)
                c = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
                os.setresuid(0, 0, 0)
            c.bind((HOST_A, port))
            c.connect((net.host_b, 40001))
            c.send(b"z" * 5000)
            time.sleep(0.3)
            return 0

        cap = net.capture()
        Child(as_user, 1234, 50020, None).result()
        st = net.status()
        made = group and not try_sh("mkdir " + group).returncode
        if made:
            time.sleep(1.6)  # the unit comes up: looked for once a second
            Child(as_user, 0, 50021, group).result()
        path = cap.stop()
        ps = packets(path, 40001, 50020)
        check(ps and marked(ps, ATLAS) == len(ps), "a user's connection from the SYN on (%d of %d)" % (marked(ps, ATLAS), len(ps)))
        if made:
            ps = packets(path, 40001, 50021)
            check(ps and marked(ps, (5, 1)) == len(ps), "a unit's that was started after the marker (%d of %d)" % (marked(ps, (5, 1)), len(ps)),
                  open(net.dir + "/log").read()[-600:])
            try_sh("rmdir " + group)
        else:
            skip("a unit's connections", "no cgroup2 file system to make one in")
        for s in old:
            s.close()
        end = time.monotonic() + 5  # a second's linger
        while True:
            left = [f for f in net.status()["flows"] if f["src_port"] >= 20000 and f["src_port"] < 21000]
            if not left or time.monotonic() > end:
                break
            time.sleep(0.05)
        check(left == [], "flows end with their connections", len(left))
        server.close(), other.close()


def cpu_s(pid):
    """Seconds of CPU that a process has had."""
    stat = open("/proc/%d/stat" % pid).read().split()
    return (int(stat[13]) + int(stat[14])) / os.sysconf("SC_CLK_TCK")


def flood_program(directory):
    """The generator, built there."""
    program = directory + "/flood"
    sh("cc -O2 -D_GNU_SOURCE -o %s %s/flood.c" % (program, os.path.dirname(os.path.abspath(__file__))))
    return program


def flood():
    """Pipe lines and posts as fast as they are taken, for longer than the heartbeat may fail: traffic that is marked
    goes on as in the calm before and after."""
    calm_s, stream = 1.5, 200
    with Net() as net:
        start(net, "  api: {}\n", marker="    mapSize: 5000\n")
        program = flood_program(net.dir)
        net.ask("mark tcp %s 50030 %s 5201 cms 14" % (HOST_A, net.host_b))
        net.children.append(marker_net.subprocess.Popen(["ip", "netns", "exec", net.b, "iperf3", "-s", "-1"], stdout=marker_net.subprocess.DEVNULL))
        time.sleep(0.3)
        rss = lambda: int([l for l in open("/proc/%d/status" % net.daemon.pid) if l.startswith("VmRSS")][0].split()[1]) // 1024
        drops, before_mib = sum(net.counters(ns)["dev_drops"] for ns in (net.a, net.b)), rss()
        cap = net.capture()
        run = lambda words: marker_net.subprocess.Popen(["nsenter", "--net=/run/netns/" + net.a] + words.split(), stdout=marker_net.subprocess.PIPE, text=True)
        began = time.monotonic()
        client = run("iperf3 -6 -c %s --cport 50030 -C cubic -b %dM -t %d -i 0.5 -J" % (net.host_b, stream, 2 * calm_s + FLOOD_S + 1))
        time.sleep(calm_s + 0.5)
        flood_from = time.monotonic() - began
        generators = [run("%s pipe %s/np %d" % (program, net.dir, FLOOD_S)), run("%s post 127.0.0.1:7777 8 %d" % (program, FLOOD_S))]
        slowest, spent_s = 0, cpu_s(net.daemon.pid)
        while generators[0].poll() is None:
            asked = time.monotonic()
            net.ask("status --prometheus")
            slowest = max(slowest, time.monotonic() - asked)
            time.sleep(0.1)
        pipe, posts = (json.loads(g.communicate()[0]) for g in generators)
        spent_s = cpu_s(net.daemon.pid) - spent_s
        flood_to = time.monotonic() - began
        after_mib = rss()
        result = json.loads(client.communicate()[0])
        ps = packets(cap.stop(), 5201, 50030)
        st = net.status()
        e = st["events"]
        rate = (pipe["sent"] + posts["sent"]) / FLOOD_S
        what = "offered %d pipe lines and %d posts a second; accepted %d events, refused %d a second" % (
            pipe["sent"] / FLOOD_S, posts["sent"] / FLOOD_S, (e["started"] + e["renewed"] + e["ended"]) / FLOOD_S, sum(e["refused"].values()) / FLOOD_S)
        if rate < 100000 and spent_s < 0.6 * FLOOD_S:
            skip(what, "other programs left the marker %d %% of a CPU" % (100 * spent_s / FLOOD_S))
        else:
            check(rate >= 100000, what, (pipe, posts))
        flooded = [i["sum"] for i in result["intervals"] if i["sum"]["start"] > flood_from and i["sum"]["end"] < flood_to]
        calm = [i["sum"] for i in result["intervals"] if 0.4 < i["sum"]["start"] and (i["sum"]["end"] < flood_from or i["sum"]["start"] > flood_to + 0.5)]
        mbits = lambda part: sum(i["bytes"] for i in part) * 8 / sum(i["seconds"] for i in part) / 1e6
        again = lambda part: sum(i["retransmits"] for i in part) / sum(i["seconds"] for i in part)
        check(len(flooded) >= 6 and len(calm) >= 4 and mbits(flooded) > 0.95 * mbits(calm), "a marked stream keeps its %.0f Mbit/s: %.0f" % (mbits(calm), mbits(flooded)), result["intervals"])
        segments = mbits(calm) * 1e6 / 8 / 1428  # a second; half a thousandth of them is what other programs may cost
        check(again(flooded) <= again(calm) + segments / 2000, "%.1f retransmissions a second among %d segments, %.1f in the calm" % (again(flooded), segments, again(calm)),
              [i["retransmits"] for i in flooded + calm])
        check(ps and marked(ps, CMS) == len(ps), "every packet of it is marked (%d of %d)" % (marked(ps, CMS), len(ps)))
        check(sum(v["packets"] for v in st["unmarked"].values()) == 0 and sum(net.counters(ns)["dev_drops"] for ns in (net.a, net.b)) == drops,
              "none passed unmarked, none was dropped; the heartbeat never failed", st["unmarked"])
        check(slowest < 4, "the marker answered meanwhile, after %.2f s at the worst" % slowest)
        check(e["pipe"]["received"] == pipe["sent"] == e["pipe"]["accepted"], "no line was lost or torn (%d sent, %d received)" % (pipe["sent"], e["pipe"]["received"]), e)
        check(e["api"]["requests"] == posts["sent"] == posts["2xx"] + posts["5xx"] and e["api"]["refused"] == posts["5xx"],
              "every post was answered: %d with 200, %d with 503" % (posts["2xx"], posts["5xx"]), (posts, e["api"]))
        check(e["received"] == e["started"] + e["renewed"] + e["ended"] + sum(e["refused"].values()) == pipe["sent"] + posts["sent"] + 1,
              "every event is accounted for, by its reason", e)
        check(e["refused"]["full"] > 0 and any(f["src_port"] == 50030 for f in st["flows"]), "the full table refused, and kept the flow that was there (%d refused)" % e["refused"]["full"])
        check(after_mib < before_mib + 64, "memory stays bounded: %d MiB, %d before" % (after_mib, before_mib))


def full():
    """A full table: 503 with the reason, counted; the flows that are in it go on."""
    with Net() as net:
        start(net, "  api: {}\n", "  prometheus: {flowsMax: 4}\n", "    mapSize: 16\n")
        server = Server(net, 40000)
        sh("ip -n %s addr add 192.0.2.1/24 dev va; ip -n %s addr add 192.0.2.2/24 dev vb" % (net.a, net.b))
        four = []
        for ns in (net.b, net.a):
            with InNamespace(ns):
                four.append(socket.socket())
        four[0].bind(("192.0.2.2", 40000))
        four[0].listen()
        four[1].connect(("192.0.2.2", 40000))
        port4 = four[1].getsockname()[1]
        check(curl(net, {"State": 2, "Src": "192.0.2.1:%d" % port4, "Dst": "192.0.2.2:40000", "Experiment": 3, "Activity": 14})[0] == 200, "an IPv4 flow is taken")
        s = connect(net, 50040, 40000)
        check(curl(net, event(2, 50040, 40000))[0] == 200, "the first of 16 flows")
        answers = [curl(net, event(2, 100 + i, 443, to="fd00::99")) for i in range(20)]
        codes = [a[0] for a in answers]
        check(codes == [200] * 15 + [503] * 5 and "full" in answers[-1][1]["message"], "15 more, then 503 with the reason", (codes, answers[-1]))
        check(curl(net, event(2, 50040, 40000))[0] == 200, "who is in it may say so again")
        cap = net.capture()
        talk(s)
        ps = packets(cap.stop(), 40000)
        check(ps and marked(ps, CMS) == len(ps), "an active flow is never forgotten (%d of %d packets)" % (marked(ps, CMS), len(ps)))
        scrape = lambda port: try_sh("nsenter --net=/run/netns/%s curl -s http://127.0.0.1:%d/metrics" % (net.a, port)).stdout
        text = scrape(8080)
        check('scitag_marker_flow_events_refused_total{reason="full"} 5' in text, "counted for Prometheus")
        rtt = [l for l in text.splitlines() if l.startswith("flow_tcp_rtt{")]
        check(any('flow="50040:40000"' in l and 'exp="3"' in l and 'act="14"' in l for l in rtt) and len(rtt) <= 4,
              "series of single flows under flowd-go's names, with ports in the label, bounded", rtt)
        check(any('src="192.0.2.1",dst="192.0.2.2",flow="%d:40000"' % port4 in l and 'exp="3"' in l for l in rtt), "of IPv4 too, though nothing marks it and no firefly tells of it", rtt)
        check("scitag_marker_flow_series_left_out 0" in text, "what the bound left out is said")
        named = try_sh("nsenter --net=/run/netns/%s curl -s -o /dev/null -w '%%{http_code}' -H 'Host: dtn1.example.org:8080' http://127.0.0.1:8080/metrics" % net.a).stdout
        check(named == "200", "under whatever name it is scraped", named)
        check(scrape(8081).count("\n") == text.count("\n"), "the second port tells the same")
        for x in (s, server, *four):
            x.close()


def survivors():
    """Clients that misbehave: half requests, too many connections, bodies without end."""
    with Net() as net:
        start(net, "  api: {}\n")
        with InNamespace(net.a):
            conns = [socket.create_connection(("127.0.0.1", 7777)) for _ in range(100)]
        for c in conns:
            c.send(b"POST /flow HTTP/1.1\r\nHost: localhost\r\nContent-Le")
        status, _ = curl(net, event(2, 50050, 40000))
        check(status == 200, "a hundred half requests keep nobody out")
        for c in conns:
            c.close()
        out = try_sh("head -c 1000000 /dev/zero | nsenter --net=/run/netns/%s curl -s -o /dev/null -w '%%{http_code}' -X POST -H 'Content-Type: application/json' --data-binary @- http://127.0.0.1:7777/flow" % net.a).stdout
        check(out == "413", "a body without end is refused", out)
        status, _ = curl(net, event(3, 50050, 40000))
        check(status == 200 and net.daemon.poll() is None, "and the marker goes on")


def sections():
    """flowd-go's ways: what has no section is off, verbs behind options or before them, the pid file."""
    with Net() as net:
        conf = net.dir + "/marker.yaml"
        with open(conf, "w") as f:
            f.write("pidPath: %s/pid\nplugins:\n  namedPipe: {pipePath: %s/np}\nbackends:\n  firefly: {}\ncontrol: {path: %s/sock}\n"
                    % (net.dir, net.dir, net.dir))
        net.log = open(net.dir + "/log", "a")
        net.daemon = marker_net.subprocess.Popen("exec nsenter --net=/run/netns/%s %s/scitag-marker run --log-level debug --log-time --conf %s" % (net.a, BIN, conf),
                                                 shell=True, stderr=net.log, stdout=net.log)
        net.wait_up()
        check(open(net.dir + "/pid").read() == "%d\n" % net.daemon.pid, "the process id is where pidPath says")
        s = connect(net, 50060, Server(net, 40000).listener.getsockname()[1])
        with open(net.dir + "/np", "w") as f:
            f.write("start tcp %s 50060 %s 40000 3 14\n" % (HOST_A, net.host_b))
        time.sleep(0.3)
        cap = net.capture()
        talk(s)
        ps = packets(cap.stop(), 40000)
        hooks = try_sh("tc -n %s filter show dev va egress; tc -n %s filter show dev lo egress" % (net.a, net.a)).stdout
        check(ps and not marked(ps, CMS) and "mark_egress" not in hooks, "without backends.marker nothing is marked, and nothing hangs on an interface", hooks)
        net.stop()
        check(not os.path.exists(net.dir + "/pid"), "and the file goes with the process")
        r = try_sh("%s/scitag-marker conf --conf %s" % (BIN, conf))
        check(r.returncode == 0 and "pidPath: %s/pid" % net.dir in r.stdout, "conf prints the configuration in force", r)
        r = try_sh("%s/scitag-marker version" % BIN)
        check(r.returncode == 0 and r.stdout.startswith("scitag-marker "), "version", r)
        r = try_sh("printf \"PLUGIN='np_api'\\nBACKEND='ebpf_el9'\\nNETWORK_INTERFACE='va'\\n\" | %s/scitag-marker convert - > %s/flowd.yaml" % (BIN, net.dir))
        r2 = try_sh("%s/scitag-marker --conf %s/flowd.yaml --check" % (BIN, net.dir))
        check(r.returncode == 0 and r2.returncode == 0, "flowd's file, converted, is a good one", (r, r2))


if __name__ == "__main__":
    for part in (api, iperf3, no_cgroup, perfsonar, scan, flood, full, survivors, sections):
        if len(sys.argv) > 1 and part.__name__ not in sys.argv[1:]:
            continue
        try:
            part()
        except Exception as e:
            traceback.print_exc(file=sys.stdout)
            not_ok(part.__doc__, e)
    sys.exit(1 if marker_net.failures else 0)
