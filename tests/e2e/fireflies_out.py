"""What the marker says of its flows, as collectors hear it; expected values are the traffic's own."""

import glob
import json
import os
import re
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import marker_net
from marker_net import InNamespace, check, not_ok, ok, read_pcap, sh, skip, try_sh

KEEP_S = float(os.environ.get("KEEP_S", "4"))
FLOWS = int(os.environ.get("FLOWS", "10000"))
TAG = (3, 14)


class Net(marker_net.Net):
    """A marker with a configuration of the test's own; YAML is JSON here."""

    def run_marker(self, firefly=None, listener=None, mark=True, marker=None, plugins=None):
        conf = {"plugins": dict({"namedPipe": {"pipePath": self.dir + "/np"}}, **plugins or {}), "backends": {}, "control": {"path": self.dir + "/sock"}}
        if mark:
            conf["backends"]["marker"] = dict({"targetInterfaces": ["va"], "entropy": "zero", "attach": "clsact"}, **marker or {})
        if firefly is not None:
            conf["backends"]["firefly"] = firefly
        if listener is not None:
            conf["plugins"]["firefly"] = listener
        with open(self.dir + "/marker.yaml", "w") as f:
            json.dump(conf, f)
        self.log = open(self.dir + "/log", "a")
        self.daemon = subprocess.Popen(
            "exec nsenter --net=/run/netns/%s %s/scitag-marker --conf %s/marker.yaml --log-level info run"
            % (self.a, marker_net.BIN, self.dir), shell=True, stderr=self.log, stdout=self.log)
        self.wait_up()

    def reload(self, change):
        """change(conf) edits the configuration; returns when the marker has read it."""
        with open(self.dir + "/marker.yaml") as f:
            conf = json.load(f)
        change(conf)
        with open(self.dir + "/marker.yaml", "w") as f:
            json.dump(conf, f)
        said = lambda: open(self.dir + "/log").read().count("configuration read again")
        n = said()
        self.daemon.send_signal(signal.SIGHUP)
        until(lambda: said() > n)

    def pipe(self, *lines):
        fd = os.open(self.dir + "/np", os.O_WRONLY)
        for line in lines:
            os.write(fd, (line + "\n").encode())
        os.close(fd)


class Collector:
    """A UDP socket in a namespace, and what came to it, with the time it came."""

    def __init__(self, ns, address, port, family=socket.AF_INET6):
        with InNamespace(ns):
            self.s = socket.socket(family, socket.SOCK_DGRAM)
        self.s.setsockopt(socket.SOL_SOCKET, 33, 256 << 20)  # SO_RCVBUFFORCE
        self.s.bind((address, port))
        self.s.settimeout(0.05)
        self.got, self.stopped = [], False
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        while not self.stopped:
            try:
                self.got.append(self.s.recv(65536))
            except socket.timeout:
                pass

    def wait(self, n, seconds=5.0):
        return until(lambda: len(self.got) >= n, seconds)

    def close(self):
        self.stopped = True
        self.thread.join()
        self.s.close()

    def fireflies(self):
        return [body(d) for d in self.got]


def body(datagram):
    return json.loads(datagram[datagram.index(b"{"):])


def state(f):
    return f["flow-lifecycle"]["state"]


def line(what, src, sport, dst, dport, tag=TAG):
    return "%s tcp %s %d %s %d %d %d" % (what, src, sport, dst, dport, *tag)


def until(what, seconds=5.0):
    """Wait for what() to hold; whether it does."""
    end = time.monotonic() + seconds
    while not what() and time.monotonic() < end:
        time.sleep(0.01)
    return what()


def connect(net, port, src="fd00::1", dst="fd00::2", sport=0):
    """A connection from A to B: both ends."""
    family = socket.AF_INET6 if ":" in src else socket.AF_INET
    with InNamespace(net.b):
        listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((dst, port))
    listener.listen()
    with InNamespace(net.a):
        a = socket.socket(family, socket.SOCK_STREAM)
    a.bind((src, sport))
    a.connect((dst, port))
    b, _ = listener.accept()
    listener.close()
    return a, b


def udp_pair(net, sport, dport):
    """Two UDP sockets, connected from A to B."""
    pair = []
    for ns, own in ((net.a, ("fd00::1", sport)), (net.b, ("fd00::2", dport))):
        with InNamespace(ns):
            s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        s.bind(own)
        pair.append(s)
    pair[0].connect(("fd00::2", dport))
    return pair


def move(a, b, n):
    """n bytes from a to b."""
    t = threading.Thread(target=a.sendall, args=(bytes(n),))
    t.start()
    left = n
    while left:
        left -= len(b.recv(min(left, 1 << 18)))
    t.join()


# --- the form -------------------------------------------------------------------------------------

HEADER = re.compile(
    rb"^<134>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00) ([!-~]{1,255}) scitag-marker - firefly-json - \{")
TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00$")


def why_malformed(d):
    """RFC 5424 section 6 without structured data, then the framework's JSON, version 1."""
    if len(d) > 1400:
        return "longer than 1400 bytes"
    if not HEADER.match(d):
        return "header %r" % d[:120]
    f = body(d)
    order = ["version", "flow-lifecycle", "flow-id", "context", "usage", "netlink"]
    if list(f) != [k for k in order if k in f] or not {"version", "flow-lifecycle", "flow-id", "context"} <= set(f):
        return "members %s" % list(f)
    life, ident, context = f["flow-lifecycle"], f["flow-id"], f["context"]
    if f["version"] != 1 or list(life) != ["state", "current-time", "start-time"] + ["end-time"] * (state(f) == "end"):
        return "life %s" % life
    if state(f) not in ("start", "ongoing", "end") or not all(TIME.match(v) for k, v in life.items() if k != "state"):
        return "life %s" % life
    if d.split(b" ")[1].decode() != life["current-time"] or life["start-time"] > life["current-time"]:
        return "times %s" % life
    if list(ident) != ["afi", "src-ip", "dst-ip", "protocol", "src-port", "dst-port"] or ident["protocol"] not in ("tcp", "udp"):
        return "flow-id %s" % ident
    if ident["afi"] != ("ipv6" if ":" in ident["src-ip"] else "ipv4") or not all(1 <= ident[p] <= 65535 for p in ("src-port", "dst-port")):
        return "flow-id %s" % ident
    if list(context) != ["experiment-id", "activity-id", "application"] or not all(type(context[k]) is int for k in list(context)[:2]):
        return "context %s" % context
    if "usage" in f and (list(f["usage"]) not in (["received", "sent"], ["sent"]) or not all(type(v) is int for v in f["usage"].values())):
        return "usage %s" % f["usage"]
    return ""


def check_form(datagrams, what):
    bad = [w for w in map(why_malformed, datagrams) if w]
    check(datagrams and not bad, "%s: %d fireflies in the framework's form, RFC 5424 header, at most %d bytes"
          % (what, len(datagrams), max(map(len, datagrams), default=0)), bad[:3])
    path = os.path.join(os.environ.get("SCITAG_SHARED", "../../../shared"), "data/firefly.schema.json")
    try:
        import jsonschema
        with open(path) as f:  # published with commas that JSON does not have
            schema = json.loads(re.sub(r",(\s*[}\]])", r"\1", f.read()))
    except (ImportError, OSError) as e:
        return skip("%s: the published schema" % what, e)
    validator = jsonschema.Draft202012Validator(schema)
    errors = [e.message for d in datagrams for e in validator.iter_errors(body(d))]
    check(not errors, "%s: valid by the published schema 1.0.0" % what, errors[:3])


# --- cases ----------------------------------------------------------------------------------------

def case_life():
    """START, ONGOING, END with this flow's bytes; the far end, two collectors, and three that are dead."""
    with Net() as net:
        far = Collector(net.b, "fd00::2", 10514)
        near4 = Collector(net.a, "127.0.0.1", 11001, socket.AF_INET)
        near6 = Collector(net.a, "::1", 11002)
        named = Collector(net.a, "::", 11003)
        net.run_marker(firefly={"enrich": True, "ongoing": "2s", "sendToCollector": True, "collectorAddress": "127.0.0.1", "collectorPort": 11001,
                                "collectors": ["nowhere.invalid", "[fd0f::1]:10514", "127.0.0.1:1", "[::1]:11002", "localhost:11003"]})
        a, b = connect(net, 5000)
        port = a.getsockname()[1]
        move(a, b, 4321)  # before the flow began: not its own
        move(b, a, 21)
        net.pipe(line("start", "fd00::1", port, "fd00::2", 5000), line("start", "fd00::1", port, "fd00::2", 5000))
        check(far.wait(1), "START goes to the flow's far end", net.status())
        move(a, b, 3000000)
        check(far.wait(2), "ONGOING comes after the interval")
        move(a, b, 2000000)
        move(b, a, 777)
        net.pipe(line("end", "fd00::1", port, "fd00::2", 5000))
        until(lambda: state(body(far.got[-1])) == "end")
        time.sleep(0.3)
        f = far.fireflies()
        n = len(f)  # three, unless the machine is slow
        check([state(x) for x in f] == ["start"] + ["ongoing"] * (n - 2) + ["end"], "START, ONGOING, END: once each, though begun twice", [state(x) for x in f])
        check(f[-1].get("usage") == {"received": 777, "sent": 5000000}, "END counts the flow's bytes, not the connection's", f[-1].get("usage"))
        check(f[1].get("usage") == {"received": 0, "sent": 3000000}, "ONGOING counts so far", f[1].get("usage"))
        check(len({x["flow-lifecycle"]["start-time"] for x in f}) == 1, "one start-time")
        info = f[-1]["netlink"]["tcpInfo"]
        check(info["pMtu"] == 1500 and info["rtt"] == round(f[-1]["netlink"]["rtt"] * 1000) and 0 < info["rtt"] < 1000000
              and info["bytesSent"] >= 5004321 and f[-1]["netlink"]["cong"]["algorithm"],
              "what the kernel knows: rtt in ms and us, path MTU, congestion control", f[-1]["netlink"])
        check(near4.got == far.got and near6.got == far.got and named.got == far.got, "three collectors, one by name, got the same, whatever became of three others",
              (len(near4.got), len(near6.got), len(named.got), net.status()["fireflies"]["targets"]))
        t = {x["name"]: x for x in net.status()["fireflies"]["targets"]}
        check(t["nowhere.invalid port 10514"]["failed"]["unresolved"] == n and t["fd0f::1 port 10514"]["failed"]["no_route"] == n,
              "what failed is counted by target and reason", t)
        # ended by its connection, not by an event
        net.pipe(line("start", "fd00::1", port, "fd00::2", 5000))
        far.wait(n + 1)
        move(a, b, 1000)
        move(b, a, 99)
        a.close()
        b.close()
        far.wait(n + 2)
        f = far.fireflies()
        check(state(f[-1]) == "end" and f[-1]["usage"] == {"received": 99, "sent": 1000}, "a connection that closes ends its flow, with its last bytes", f[n:])
        check(until(lambda: not net.status()["flows"]), "and its mark", net.status()["flows"])
        # a new tag is a new flow
        a, b = connect(net, 5001)
        port = a.getsockname()[1]
        net.pipe(line("start", "fd00::1", port, "fd00::2", 5001))
        far.wait(n + 3)
        move(a, b, 50)
        net.pipe(line("start", "fd00::1", port, "fd00::2", 5001, (2, 4)))
        far.wait(n + 5)
        f = far.fireflies()[n + 2:]
        check([(state(x), x["context"]["experiment-id"]) for x in f] == [("start", 3), ("end", 3), ("start", 2)] and f[1]["usage"]["sent"] == 50,
              "another tag ends the flow and begins one", f)
        net.stop()
        far.wait(n + 6)
        check(state(far.fireflies()[-1]) == "end", "a stop of the marker ends what it announced")
        check_form(far.got, "life")
        for c in (far, near4, near6, named):
            c.close()


def case_ipv4():
    """IPv4 cannot be marked; it is announced, with its bytes, to a far end over IPv4."""
    with Net() as net:
        sh("ip -n %s addr add 192.0.2.1/24 dev va" % net.a)
        sh("ip -n %s addr add 192.0.2.2/24 dev vb" % net.b)
        far = Collector(net.b, "192.0.2.2", 10514, socket.AF_INET)
        net.run_marker(firefly={"stun": {"manualMapping": {"192.0.2.1": "198.51.100.9"}}})
        a, b = connect(net, 5000, "192.0.2.1", "192.0.2.2")
        port = a.getsockname()[1]
        net.pipe(line("start", "192.0.2.1", port, "192.0.2.2", 5000), line("start", "192.0.2.1", port + 1, "192.0.2.2", 5000, (0, 0)))
        far.wait(2)
        move(a, b, 100000)
        a.close()
        b.close()
        far.wait(3)
        f = far.fireflies()
        check([state(x) for x in f] == ["start", "start", "end"] and f[2]["usage"]["sent"] == 100000, "IPv4 is announced", f)
        check(f[2]["flow-id"]["src-ip"] == "198.51.100.9" and f[2]["flow-id"]["dst-ip"] == "192.0.2.2" and f[2]["flow-id"]["afi"] == "ipv4",
              "under the address that the world knows", f[2]["flow-id"])
        check(f[1]["context"]["experiment-id"] == 0, "tag 0/0 is announced only")
        check_form(far.got, "IPv4")
        far.close()


def case_no_marks():
    """Without its section nothing is marked; fireflies go out all the same, bare if so wished."""
    with Net() as net:
        far = Collector(net.b, "fd00::2", 10514)
        net.run_marker(firefly={"prependSyslog": False}, mark=False)
        a, b = connect(net, 5000)
        port = a.getsockname()[1]
        net.pipe(line("start", "fd00::1", port, "fd00::2", 5000))
        far.wait(1)
        out = net.capture()
        move(a, b, 3000)
        a.close()
        b.close()
        far.wait(2)
        packets = [p for p in read_pcap(out.stop()) if p.sport == port]
        check([state(f) for f in far.fireflies()] == ["start", "end"] and body(far.got[1])["usage"]["sent"] == 3000 and all(d[:1] == b"{" for d in far.got),
              "announced without marks, without a header", far.got)
        check(packets and not any(p.label & ~marker_net.ENTROPY == marker_net.label_of(*TAG) or p.dst_opt or p.hbh for p in packets),
              "and no packet is touched", [hex(p.label) for p in packets])
        far.close()


def case_wildcards():
    """What wildcards mark is announced by its real addresses, up to a limit; tags follow a reload."""
    with Net() as net:
        sh("ip -n %s addr add 192.0.2.1/24 dev va" % net.a)
        sh("ip -n %s addr add 192.0.2.2/24 dev vb" % net.b)
        near = Collector(net.a, "::1", 11002)
        old = connect(net, 5000)  # before the marker
        net.run_marker(firefly={"sendToDestination": False, "collectors": ["[::1]:11002"], "wildcardFlows": 5},
                       marker={"rules": [{"dst": "fd00::/64", "dstPort": "5001", "protocol": "tcp", "experiment": "2", "activity": "17"}]},
                       plugins={"perfsonar": {"experimentId": 3, "activityId": 14}})
        ports = lambda what: {f["flow-id"]["dst-port"]: f for f in near.fireflies() if state(f) == what}
        until(lambda: 5000 in ports("start"))
        ruled = connect(net, 5001)
        v4 = connect(net, 5002, "192.0.2.1", "192.0.2.2")
        udp, sink = udp_pair(net, 6000, 5003)
        until(lambda: {5000, 5001, 5002, 5003} <= set(ports("start")))
        began = ports("start")
        check({p: (f["flow-id"]["afi"], f["flow-id"]["protocol"], f["flow-id"]["src-ip"], f["context"]["experiment-id"]) for p, f in began.items()} ==
              {5000: ("ipv6", "tcp", "fd00::1", 3), 5001: ("ipv6", "tcp", "fd00::1", 2), 5002: ("ipv4", "tcp", "192.0.2.1", 3), 5003: ("ipv6", "udp", "fd00::1", 3)},
              "perfSONAR's match-all, and a rule: connections over both families and UDP are announced, one that was there before too, none as ::", began)
        last = [connect(net, 5010 + i) for i in range(3)]
        until(lambda: len(near.got) >= 5)
        time.sleep(0.2)
        st = net.status()["events"]["watch"]
        check(len(near.got) == 5 and st["under_wildcards"] == 5 and st["refused"] == 2, "five at a time, the rest is counted", (len(near.got), st))
        move(*ruled, 5000)
        net.reload(lambda c: c["backends"]["marker"]["rules"][0].update(experiment="5", activity="1"))
        until(lambda: 5001 in ports("end"))
        f = [f for f in near.fireflies() if f["flow-id"]["dst-port"] == 5001]
        check([(state(x), x["context"]["experiment-id"]) for x in f] == [("start", 2), ("end", 2), ("start", 5)] and f[1]["usage"]["sent"] == 5000
              and not any(state(x) != "start" for x in near.fireflies() if x["flow-id"]["dst-port"] != 5001),
              "a rule that a reload changed ends its flows and begins them anew; the others go on", f)
        out = net.capture()
        move(*ruled, 3000)
        packets = [p for p in read_pcap(out.stop()) if p.dport == 5001]
        check(packets and all(p.label == marker_net.label_of(5, 1) for p in packets), "and their packets carry the new tag", {hex(p.label) for p in packets})
        move(*v4, 777)
        move(*old, 999)
        udp.send(b"x" * 100)
        for s in (udp, sink, *old, *v4, *ruled):
            s.close()
        until(lambda: sum(state(f) == "end" for f in near.fireflies()) == 5)
        e = ports("end")
        check({p: e[p].get("usage", {}).get("sent") for p in e} == {5000: 999, 5001: 3000, 5002: 777, 5003: None}, "each ends with its bytes, which nobody counts of UDP under a wildcard", e)
        check(until(lambda: {5011, 5012} & set(ports("start")), 12), "whoever was left out is announced when there is room")
        check_form(near.got, "wildcards")
        near.close()
        for s in sum(last, ()):
            s.close()


def case_udp():
    """UDP, and TCP of no socket of ours: bytes as the mark counted them; and standing flows."""
    with Net() as net:
        far = Collector(net.b, "fd00::2", 10514)
        standing = {"protocol": "tcp", "src": "fd00::1", "srcPort": "45020", "dst": "fd00::2", "dstPort": "5020", "experiment": "2", "activity": "17"}
        net.run_marker(firefly={"ongoing": "1s"}, marker={"rules": [standing]})
        udp, sink = udp_pair(net, 6000, 5003)
        with InNamespace(net.a):
            raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_TCP)
        udp.send(b"x" * 99)  # before the flow began
        net.pipe("start udp fd00::1 6000 fd00::2 5003 3 14", line("start", "fd00::1", 6001, "fd00::2", 5004))
        far.wait(2)
        for n in (1, 1000, 1400):
            udp.send(b"x" * n)
        # header of 32 bytes, timestamps in it, ACK; then a payload
        raw.sendto(struct.pack(">HHIIBBHHH", 6001, 5004, 1, 1, 0x80, 0x10, 1000, 0, 0) + b"\1\1\x08\x0a" + bytes(8) + b"y" * 500, ("fd00::2", 0))
        far.wait(4)  # ONGOING
        udp.send(b"x" * 10)
        net.pipe("end udp fd00::1 6000 fd00::2 5003 3 14", line("end", "fd00::1", 6001, "fd00::2", 5004))
        until(lambda: sum(state(f) == "end" for f in far.fireflies()) == 2)
        said = {(state(f), f["flow-id"]["protocol"]): f.get("usage") for f in far.fireflies()}
        check(said.get(("ongoing", "udp")) == {"sent": 2401} and said.get(("end", "udp")) == {"sent": 2411} and said[("start", "udp")] is None,
              "UDP: payload that left since START; what came is unsaid", said)
        check(said.get(("end", "tcp")) == {"sent": 500}, "TCP of no socket of this namespace: what the mark counted", said)
        n = len(far.got)
        for i in (1, 2):  # one connection after another on the same ports
            a, b = connect(net, 5020, sport=45020)
            move(a, b, 1000 * i)
            b.close()  # first: the other end keeps the ports
            a.recv(1)
            a.close()
            until(lambda: sum(state(f) == "end" for f in far.fireflies()[n:]) == i)
        f = [f for f in far.fireflies()[n:] if state(f) != "ongoing"]
        check([(state(x), x["context"]["experiment-id"], x.get("usage", {}).get("sent")) for x in f] == [("start", 2, None), ("end", 2, 1000), ("start", 2, None), ("end", 2, 2000)],
              "a standing flow of the configuration: each of its connections", f)
        check_form(far.got, "UDP")
        far.close()
        for s in (udp, sink, raw):
            s.close()


def case_killed():
    """After kill -9 the next marker goes on: ONGOING, and END with the start-time and all bytes."""
    with Net() as net:
        one = Collector(net.b, "fd00::2", 11001)
        firefly = {"sendToDestination": False, "ongoing": "1s", "collectors": ["[fd00::2]:11001"]}
        wild = {"rules": [{"dstPort": "5004-5005", "experiment": "2", "activity": "17"}]}
        net.run_marker(firefly=firefly, marker=wild)
        ends = [connect(net, 5000 + i) for i in range(3)]
        udp, sink = udp_pair(net, 6000, 5003)
        under = [*connect(net, 5004), *udp_pair(net, 6001, 5005)]  # a wildcard
        for i, (a, _) in enumerate(ends):
            net.pipe(line("start", "fd00::1", a.getsockname()[1], "fd00::2", 5000 + i))
        net.pipe("start udp fd00::1 6000 fd00::2 5003 3 14")
        one.wait(6)
        move(*ends[0], 1000)
        udp.send(b"x" * 300)
        check(until(lambda: os.path.exists(net.dir + "/sock.flows")), "the flows are written down while they go on")
        time.sleep(1.1)  # by the next writing at the latest they are all there
        net.pipe(line("end", "fd00::1", ends[2][0].getsockname()[1], "fd00::2", 5002))
        time.sleep(1.2)  # and its end
        net.stop(signal.SIGKILL)
        before = len(one.got)
        for s in ends[1]:
            s.close()
        move(*ends[0], 500)
        udp.send(b"x" * 40)
        net.run_marker(firefly=firefly, marker=wild)
        until(lambda: {5000, 5001, 5003, 5004, 5005} <= {f["flow-id"]["dst-port"] for f in one.fireflies()[before:]})
        after = {(f["flow-id"]["dst-port"], state(f)) for f in one.fireflies()[before:]}
        check(after == {(5000, "ongoing"), (5001, "end"), (5003, "ongoing"), (5004, "ongoing"), (5005, "ongoing")}, "after kill -9: ONGOING of what goes on, END of what went meanwhile, no START again", after)
        move(*ends[0], 250)
        for s in ends[0]:
            s.close()
        udp.send(b"x" * 2)
        net.pipe("end udp fd00::1 6000 fd00::2 5003 3 14")
        until(lambda: {(5000, "end"), (5003, "end")} <= {(f["flow-id"]["dst-port"], state(f)) for f in one.fireflies()})
        f = one.fireflies()
        end = {x["flow-id"]["dst-port"]: x for x in f if state(x) == "end"}
        start = {x["flow-id"]["dst-port"]: x for x in f if state(x) == "start"}
        check(end[5000]["usage"]["sent"] == 1750 and end[5003]["usage"]["sent"] == 342, "bytes of the whole flow, those of the time without a marker too", end)
        check(all(end[p]["flow-lifecycle"]["start-time"] == start[p]["flow-lifecycle"]["start-time"] for p in end) and sum(state(x) == "end" for x in f) == 4
              and sum(state(x) == "start" for x in f) == 6, "their own start-times; one START and one END of each", [(x["flow-id"]["dst-port"], state(x)) for x in f])
        net.stop()
        check(not os.path.exists(net.dir + "/sock.flows"), "a stop leaves no flows behind")
        check_form(one.got, "killed")
        for s in (one, udp, sink, *under):
            s.close()


def case_forms():
    """The two forms of enrichment beside lean, against what ss says of the same connection."""
    with Net() as net:
        near = Collector(net.a, "::1", 11002)
        firefly = {"sendToDestination": False, "ongoing": "0s", "enrich": True, "enrichmentMode": "compatible", "collectors": ["[::1]:11002"]}
        net.run_marker(firefly=firefly)
        a, b = connect(net, 5000)
        move(a, b, 300000)
        time.sleep(0.3)  # all is acknowledged: nothing changes any more

        def latest(tag, member="netlink"):
            """What a START says of the connection; each tag is a new flow's."""
            net.pipe(line("start", "fd00::1", a.getsockname()[1], "fd00::2", 5000, (3, tag)))
            until(lambda: near.got and body(near.got[-1])["context"]["activity-id"] == tag)
            return body(near.got[-1])[member]

        flat = latest(1)
        net.reload(lambda c: c["backends"]["firefly"].update(enrichmentMode=""))
        some = latest(2)
        size = len(near.got[-1])
        check_form(near.got, "forms")
        net.reload(lambda c: c["backends"]["firefly"].update(maxBytes=4000))
        every = latest(3)
        longest = len(near.got[-1])
        said = sh("ip netns exec %s ss -Htinem dport = :5000" % net.a)
        ss = lambda pattern: float(re.search(pattern, said)[1])
        rtt, var = ss(r" rtt:([\d.]+)/"), ss(r" rtt:[\d.]+/([\d.]+)")
        check((flat["rtt"], flat["rttvar"], flat["snd_mss"], flat["pmtu"], flat["snd_cwnd"], flat["advmss"], flat["rto"], flat["snd_wscale"], flat["bytes_acked"], flat["state"])
              == (int(rtt), int(var), ss(r" mss:(\d+)"), ss(r" pmtu:(\d+)"), ss(r" cwnd:(\d+)"), ss(r" advmss:(\d+)"), int(ss(r" rto:([\d.]+)")), ss(r" wscale:(\d+),"),
                  ss(r" bytes_acked:(\d+)"), "established") and "ts" in flat["opts"] and abs(flat["min_rtt"] - ss(r" minrtt:([\d.]+)") * 1000) < 1,
              "compatible: flat, whole milliseconds, as ss has them", (flat, said))
        check(len(flat) == 47 and all(type(v) is int for k, v in flat.items() if k not in ("state", "opts")), "compatible: all of flowd's members, whole numbers", len(flat))
        info = every["tcpInfo"]
        check((info["rtt"], info["rttVar"], info["sndMss"], info["sndCwnd"], info["bytesAcked"], info["rcvdWscale"], info["segsOut"])
              == (round(rtt * 1000), round(var * 1000), ss(r" mss:(\d+)"), ss(r" cwnd:(\d+)"), ss(r" bytes_acked:(\d+)"), ss(r" wscale:\d+,(\d+)"), ss(r" segs_out:(\d+)")),
              "full: nested, microseconds, as ss has them", (info, said))
        memory = [int(x) for x in re.search(r"skmem:\(r(\d+),rb(\d+),t(\d+),tb(\d+),f(\d+),w(\d+),o(\d+),bl(\d+),d(\d+)\)", said).groups()]
        check([every["skMemInfo"][k] for k in ("rMemAlloc", "rcvBuff", "WMemAlloc", "sndBuff", "fwdAlloc", "wMemQueued", "optMem", "backlog", "drops")] == memory
              and every["cong"]["algorithm"] in said and every["skBuff"]["iNode"] == ss(r" ino:(\d+)") and {"memInfo", "tos"} <= set(every) and len(info) == 56,
              "full: the sections beside it, in %d bytes" % longest, (every, said))
        check(set(some["tcpInfo"]) <= set(info) and size <= 1400 and {"rtt", "bytesSent", "deliveryRate", "pMtu", "retransmits"} <= set(some["tcpInfo"]),
              "full in 1400 bytes: %d of its members, the lean ones first" % len(some["tcpInfo"]), some)
        net.reload(lambda c: (c["backends"]["firefly"].update(enrichmentMode="lean"), c.update(enrichers={"skops": {}})))
        lean = latest(4, "skOps")
        check(set(lean) == {"tcpInfo", "cong"} and len(lean["tcpInfo"]) == 11 and lean["tcpInfo"]["Retransmits"] == 0 and lean["tcpInfo"]["rtt"] == info["rtt"]
              and "netlink" not in body(near.got[-1]), "lean under flowd-go's other name, where only that enricher is configured", lean)
        near.close()


def case_equal_ports():
    """Connections that share ports and differ in an address; or share both hosts and differ in a port."""
    with Net(addresses_a=("fd00::11",)) as net:
        far = Collector(net.b, "fd00::2", 10514)
        net.run_marker(firefly={"enrich": True})
        with InNamespace(net.b):
            listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        listener.bind(("fd00::2", 5000))
        listener.listen()
        flows = [("fd00::1", 40000, 1000), ("fd00::11", 40000, 2000), ("fd00::1", 40001, 3000)]
        ends = []
        for src, sport, _ in flows:
            with InNamespace(net.a):
                a = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
            a.bind((src, sport))
            a.connect(("fd00::2", 5000))
            ends.append((a, listener.accept()[0]))
        net.pipe(*[line("start", src, sport, "fd00::2", 5000) for src, sport, _ in flows])
        far.wait(3)
        for (a, b), (_, _, n) in zip(ends, flows):
            move(a, b, n)
        net.pipe(*[line("end", src, sport, "fd00::2", 5000) for src, sport, _ in flows])
        far.wait(6)
        found = [(f["flow-id"]["src-ip"], f["flow-id"]["src-port"], f["usage"]["sent"]) for f in far.fireflies() if state(f) == "end"]
        check(sorted(found) == sorted(flows), "equal ports, equal hosts: each flow has its own bytes", found)
        for s in (far, listener, *ends[0], *ends[1], *ends[2]):
            s.close()


def case_iperf():
    """An iperf3 transfer into a namespace where the observer listens."""
    with Net() as net:
        conf = {"firefly": {"listen": ["[::]:10514"]}, "http": {"listen": "127.0.0.1:10580"},
                "database": {"url": "sqlite:%s/observer.db" % net.dir}, "registry": {"url": "", "cache": ""}}
        with open(net.dir + "/observer.yaml", "w") as f:
            json.dump(conf, f)
        log = open(net.dir + "/observer.log", "w")
        net.children.append(subprocess.Popen(["ip", "netns", "exec", net.b, marker_net.BIN + "/scitag-observer", "--conf", net.dir + "/observer.yaml"], stderr=log, stdout=log))

        def sources():
            r = try_sh("ip netns exec %s curl -fs http://127.0.0.1:10580/api/v1/sources" % net.b)
            return json.loads(r.stdout)["sources"] if r.returncode == 0 else []

        until(sources, 10)
        near = Collector(net.a, "::1", 11002)
        net.run_marker(firefly={"enrich": True, "ongoing": "1s", "collectors": ["[::1]:11002"]})
        server = subprocess.Popen(["ip", "netns", "exec", net.b, "iperf3", "-s", "-1"], stdout=subprocess.DEVNULL)
        net.children.append(server)
        time.sleep(0.4)
        net.pipe(line("start", "fd00::1", 45000, "fd00::2", 5201))
        r = json.loads(sh("ip netns exec %s iperf3 -c fd00::2 --cport 45000 -b 200M -t 2 -J" % net.a))
        # the server may leave before it has read all; its first 37 bytes are a cookie that neither counts
        sent, received = (r["end"][k]["bytes"] + 37 for k in ("sum_sent", "sum_received"))
        until(lambda: near.got and state(body(near.got[-1])) == "end")
        f = near.fireflies()
        states = [state(x) for x in f]
        check(states[0] == "start" and states[-1] == "end" and set(states[1:-1]) == {"ongoing"} and 1 <= len(states) - 2 <= 2,
              "iperf3: START, %d ONGOING, END" % (len(states) - 2), states)
        check(received <= f[-1]["usage"]["sent"] <= sent, "iperf3: END counts %d bytes; iperf3 %d to %d" % (f[-1]["usage"]["sent"], received, sent))
        counts = [x["usage"]["sent"] for x in f if "usage" in x]
        check(counts == sorted(counts), "iperf3: counts only grow", counts)

        def heard():
            return next((s for s in sources() if s["kind"] == "firefly_input"), {"received": 0})

        until(lambda: heard()["received"] >= len(f))  # it publishes now and then
        s = heard()
        check(s["received"] == len(f) and s["accepted"] == len(f) and "scitag-marker %d" % len(f) in s["detail"],
              "the observer accepts them all, and knows whose they are", s)
        check_form(near.got, "iperf3")
        near.close()


def dialects(local, remote, lport, rport):
    """START of a flow between two ends as each program words it; the local one is on this host."""
    ident = '"flow-id":{"afi":"ipv6","src-ip":"%s","dst-ip":"%s","protocol":"tcp","src-port":%d,"dst-port":%d}'
    ours, turned = ident % (local, remote, lport, rport), ident % (remote, local, rport, lport)
    now, z = "2026-01-10T09:00:00.001020+00:00", "2026-01-10T09:00:00.001Z"
    life = '"flow-lifecycle":{"state":"%s","current-time":"' + now + '","start-time":"' + now + '"%s}'
    tag = '"context":{"experiment-id":3,"activity-id":14,"application":"%s"}'
    for what in ("start", "end"):
        stop, zstop = (',"end-time":"%s"' % now, ',"end-time":"%s"' % z) if what == "end" else ("", "")
        l = life % (what, stop)
        yield "flowd", what, '<134>1 %s se1.example.org flowd - firefly-json - {"version": 1, %s, %s, %s}' % (now, l, ours, tag % "flowd v1.1.7")
        yield "flowd-go", what, '<134>1  se1 flowd-go-v2.4.2 - firefly-json - {"version":1,"flow-lifecycle":{"state":"%s","start-time":"%s"%s},%s,%s}' % (
            what, z.replace("Z", "+00:00"), stop, ours, tag % "")
        yield "XRootD", what, '<134>1 - se1.example.org xrootd - firefly-json - {"version":1,%s,"usage":{"received":1,"sent":2},"netlink":{"rtt":1.5},%s,%s}' % (l, tag % "xrdcp", ours)
        yield "XRootD http-put", what, '<134>1 - se1.example.org xrootd - firefly-json - {"version":1,%s,"usage":{"received":2,"sent":1},"netlink":{"rtt":1.5},%s,%s}' % (l, tag % "http-put", turned)
        yield "dCache", what, '<134>1 %s %s dCache - firefly-json - {%s,"version":1,"flow-lifecycle":{"state":"%s","start-time":"%s","current-time":"%s"%s},%s,"usage":{}}\n' % (
            z, remote, turned, what, z, z, zstop, tag % "xrootd")
        yield "dCache 10.2", what, '{%s,"version":1,"flow-lifecycle":{"state":"%s","start-time":"%s","current-time":"%s"%s},%s,"usage":{}}' % (
            turned, what, z, z, zstop, tag % "https")


def case_dialects():
    """Fireflies of local programs mark what leaves here, and arrive at two collectors byte for byte."""
    label = marker_net.label_of(*TAG)
    with Net() as net:
        one = Collector(net.b, "fd00::2", 11001)
        two = Collector(net.a, "127.0.0.1", 11002, socket.AF_INET)
        far = Collector(net.b, "fd00::2", 10514)
        net.run_marker(firefly={"collectors": ["[fd00::2]:11001", "127.0.0.1:11002", "127.0.0.1:1", "127.0.0.1:10514"]}, listener={})
        with InNamespace(net.a):
            program = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sent = []
        names = ["flowd", "flowd-go", "XRootD", "XRootD http-put", "dCache", "dCache 10.2"]
        ends = [connect(net, 5000 + i) for i in range(len(names))]
        ports = [a.getsockname()[1] for a, _ in ends]
        said = {}
        for i, name in enumerate(names):
            said[name] = {w: t.encode() for n, w, t in dialects("fd00::1", "fd00::2", ports[i], 5000 + i) if n == name}

        def tell(what):
            for name in names:
                program.sendto(said[name][what], ("127.0.0.1", 10514))
                sent.append(said[name][what])

        tell("start")
        one.wait(len(sent))
        out, back = net.capture(), net.capture(ns=net.a, dev="va")
        for a, b in ends:
            move(a, b, 20000)
            move(b, a, 20000)
        tell("end")
        one.wait(len(sent))
        unmarked = until(lambda: not net.status()["flows"])
        out, back = list(read_pcap(out.stop())), list(read_pcap(back.stop()))
        for i, name in enumerate(names):
            ours = [p for p in out if p.sport == ports[i] and p.dport == 5000 + i]
            theirs = [p for p in back if p.dport == ports[i] and p.sport == 5000 + i]
            check(ours and theirs and all(p.label == label for p in ours) and not any(p.label == label for p in theirs),
                  "%s: all %d packets that leave are marked, none of %d that come in" % (name, len(ours), len(theirs)),
                  {hex(p.label) for p in ours} | {hex(p.label) for p in theirs})
        check(unmarked, "an END of each program ends its mark", net.status()["flows"])
        for s in sum(ends, ()):
            s.close()
        time.sleep(0.3)
        check(one.got == sent and two.got == sent and far.got == sent, "%d fireflies at two collectors and the far end, byte for byte" % len(sent),
              (len(one.got), len(two.got), len(far.got), len(sent)))
        program.sendto(sent[0], ("127.0.0.1", 10514))
        program.sendto(b"<134>1 - h flowd - firefly-json - {}", ("127.0.0.1", 10514))
        time.sleep(0.3)
        r = net.status()["fireflies"]["relay"]
        check(one.got == sent, "what was seen, and what is no firefly, goes nowhere")
        check(r["received"] == r["relayed"] + sum(r["rejected"].values()) + r["repeated"] + r["paced"] and r["relayed"] == len(sent)
              and r["rejected"]["bad_version"] == 1 and r["repeated"] == len(sent) + 1, "a collector that is this relay itself makes no loop; all are accounted for", r)
        for c in (one, two, far):
            c.close()


def case_loop_of_our_own():
    with Net() as net:
        one = Collector(net.b, "fd00::2", 11001)
        net.run_marker(firefly={"sendToDestination": False, "collectors": ["127.0.0.1:10514", "[fd00::2]:11001"]}, listener={})
        net.pipe(line("start", "fd00::1", 1000, "fd00::2", 2000), line("end", "fd00::1", 1000, "fd00::2", 2000))
        one.wait(2)
        time.sleep(0.3)
        r = net.status()["fireflies"]["relay"]
        check(len(one.got) == 2 and r["repeated"] == 2 and r["relayed"] == 0, "our own fireflies, sent to our own listener, are known again", (len(one.got), r))
        one.close()


def case_successor():
    """One marker after another, and one that reads its configuration again: the flow goes on."""
    with Net() as net:
        one = Collector(net.b, "fd00::2", 11001)
        two = Collector(net.b, "fd00::2", 11002)
        firefly = {"sendToDestination": False, "ongoing": "0s", "collectors": ["[fd00::2]:11001"]}
        net.run_marker(firefly=firefly, listener={})
        a, b = connect(net, 5000)
        port = a.getsockname()[1]
        net.pipe(line("start", "fd00::1", port, "fd00::2", 5000))
        one.wait(1)
        move(a, b, 1000)
        conf = json.load(open(net.dir + "/marker.yaml"))
        conf["backends"]["firefly"]["collectors"] = ["[fd00::2]:11002"]
        conf["backends"]["firefly"]["ongoing"] = "1s"
        json.dump(conf, open(net.dir + "/marker.yaml", "w"))
        net.daemon.send_signal(signal.SIGHUP)
        until(lambda: "11002" in json.dumps(net.status()))
        conf["plugins"]["firefly"] = {"bindAddress": "192.0.2.99"}  # not ours: all stays as it is
        json.dump(conf, open(net.dir + "/marker.yaml", "w"))
        net.daemon.send_signal(signal.SIGHUP)
        until(lambda: "back to the old" in open(net.dir + "/log").read())
        del conf["plugins"]["firefly"]["bindAddress"]
        net.stop(signal.SIGUSR2)
        firefly.update(conf["backends"]["firefly"])
        net.run_marker(firefly=firefly, listener={})
        move(a, b, 500)
        check(two.wait(1), "a successor goes on with ONGOING")
        a.close()
        b.close()
        until(lambda: two.got and state(body(two.got[-1])) == "end")
        f = [body(d) for d in one.got + two.got]
        check(len(one.got) == 1 and [state(x) for x in f][1:] == ["ongoing"] * (len(f) - 2) + ["end"],
              "a collector changes at a reload; no START and no END is doubled", [state(x) for x in f])
        check(f[-1]["usage"]["sent"] == 1500 and len({x["flow-lifecycle"]["start-time"] for x in f}) == 1, "start-time and bytes are those of the whole flow", f[-1])
        check("back to the old" in open(net.dir + "/log").read(), "a listener that cannot be opened leaves all as it was")
        for c in (one, two):
            c.close()


def case_stun():
    """Our source under the address that a server sees; the far end's stays."""
    with Net() as net:
        with InNamespace(net.b):
            server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        server.bind(("fd00::2", 3478))
        server.settimeout(5)
        one = Collector(net.b, "fd00::2", 11001)
        net.run_marker(firefly={"sendToDestination": False, "collectors": ["[fd00::2]:11001"], "stun": {"stunServers": ["[fd00::2]"]}})
        request, peer = server.recvfrom(100)
        outside = socket.inet_pton(socket.AF_INET6, "2001:db8:ffff::7")
        value = bytes([0, 2, 0, 0]) + bytes(x ^ y for x, y in zip(outside, request[4:20]))
        server.sendto(struct.pack(">HH", 0x0101, 24) + request[4:20] + struct.pack(">HH", 0x20, 20) + value, peer)
        time.sleep(0.5)
        net.pipe(line("start", "fd00::1", 1000, "fd00::2", 2000), line("start", "fd00::9", 1000, "fd00::2", 2000))
        one.wait(2)
        f = one.fireflies()
        check(request[:4] == b"\0\1\0\0" and [x["flow-id"]["src-ip"] for x in f] == ["2001:db8:ffff::7", "fd00::9"],
              "STUN: our source as the server saw it, no other address", f)
        one.close()
        server.close()


def case_flood():
    """Fireflies into the relay as fast as a sender can: marked traffic stays as it is, and all are accounted for."""
    with Net() as net:
        one = Collector(net.b, "fd00::2", 11001)
        net.run_marker(firefly={"sendToDestination": False, "collectors": ["[fd00::2]:11001"], "rate": 2000}, listener={})
        a, b = connect(net, 5000)
        port = a.getsockname()[1]
        net.pipe(line("start", "fd00::1", port, "fd00::2", 5000))
        one.wait(1)
        with InNamespace(net.a):
            program = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        out, sent, begun = net.capture(), 0, time.monotonic()
        text = [t for n, w, t in dialects("fd00::1", "fd00::2", 7, 8) if (n, w) == ("XRootD", "start")][0]
        while time.monotonic() < begun + 5:  # longer than the heartbeat's four seconds
            for _ in range(1000):
                program.sendto(text.replace('"src-port":7', '"src-port":%d' % (10000 + sent % 50000)).encode(), ("127.0.0.1", 10514))
                sent += 1
            move(a, b, 20000)
        time.sleep(0.5)
        packets = [p for p in read_pcap(out.stop()) if p.sport == port]
        label = marker_net.label_of(*TAG)
        r, took = net.status()["fireflies"]["relay"], time.monotonic() - begun
        check(len(packets) > 20 and all(p.label == label for p in packets), "%d fireflies in 5 s: all %d packets of a flow stay marked" % (sent, len(packets)),
              {hex(p.label) for p in packets})
        check(r["received"] == r["relayed"] + sum(r["rejected"].values()) + r["repeated"] + r["paced"] and 0 < r["received"] <= sent and r["paced"] > 0
              and len(one.got) - 1 == r["relayed"] <= took * 2000 + 200, "what comes too fast is refused and counted", (r, len(one.got), sent))
        for s in (a, b):
            s.close()
        one.close()


# --- syslog daemons -------------------------------------------------------------------------------

def package_file(net, package, path):
    """A program of a Debian package: as installed, or unpacked beside, for the two daemons exclude each other."""
    if os.path.exists(path):
        return path, ""
    root = "%s/%s" % (net.dir, package)
    if not os.path.exists(root + path):
        r = try_sh("mkdir -p %s && cd %s && apt-get download %s && dpkg-deb -x %s_*.deb ." % (root, root, package, package))
        if r.returncode or not os.path.exists(root + path):
            return None, "neither installed nor to be had: " + (r.stderr.strip().splitlines() or [""])[-1]
    return root + path, root


def case_rsyslog():
    with Net() as net:
        program, root = package_file(net, "rsyslog", "/usr/sbin/rsyslogd")
        if not program:
            return skip("rsyslog", root)
        out = net.dir + "/rsyslog.out"
        fields = ["pri", "timereported:::date-rfc3339", "hostname", "app-name", "procid", "msgid", "structured-data", "msg"]
        with open(net.dir + "/rsyslog.conf", "w") as f:
            f.write('global(workDirectory="%s" maxMessageSize="8k")\nmodule(load="imudp")\nmodule(load="mmjsonparse")\n' % net.dir)
            f.write('template(name="t" type="string" string="%s|%%$!flow-id!src-ip%%|%%$!context!experiment-id%%\\n")\n' % "|".join("%%%s%%" % x for x in fields))
            f.write('ruleset(name="r") { action(type="mmjsonparse" cookie="") action(type="omfile" file="%s" template="t") }\n' % out)
            f.write('input(type="imudp" address="127.0.0.1" port="11514" ruleset="r")\n')
        modules = root + "/usr/lib/x86_64-linux-gnu/rsyslog"
        extra = ["-M", modules] if root else []
        net.children.append(subprocess.Popen(["ip", "netns", "exec", net.a, program, "-n", "-i", net.dir + "/rsyslog.pid", "-f", net.dir + "/rsyslog.conf"] + extra,
                                             stdout=open(net.dir + "/rsyslog.log", "w"), stderr=subprocess.STDOUT))
        check_syslog(net, "rsyslog", out, 11514)


def case_syslog_ng():
    with Net() as net:
        program, root = package_file(net, "syslog-ng-core", "/usr/sbin/syslog-ng")
        if not program:
            return skip("syslog-ng", root)
        out = net.dir + "/syslog-ng.out"
        with open(net.dir + "/syslog-ng.conf", "w") as f:
            f.write('@version: 3.38\noptions { keep-hostname(yes); frac-digits(6); };\n'
                    'source s { network(ip("127.0.0.1") port(11514) transport("udp") flags(syslog-protocol)); };\n'
                    'parser p { json-parser(prefix(".f.")); };\n'
                    'destination d { file("%s" template("$PRI|$ISODATE|$HOST|$PROGRAM|$PID|$MSGID|$SDATA|$MSG|${.f.flow-id.src-ip}|${.f.context.experiment-id}\\n")); };\n'
                    'log { source(s); parser(p); destination(d); };\n' % out)
        env = dict(os.environ)
        extra = []
        if root:
            env["LD_LIBRARY_PATH"] = root + "/usr/lib/syslog-ng:" + ":".join(glob.glob(root + "/usr/lib/x86_64-linux-gnu*"))
            extra = ["--module-path", glob.glob(root + "/usr/lib/syslog-ng/3*")[0]]
        net.children.append(subprocess.Popen(["ip", "netns", "exec", net.a, program, "-F", "-f", net.dir + "/syslog-ng.conf", "-R", net.dir + "/ng.persist",
                                              "-c", net.dir + "/ng.ctl", "-p", net.dir + "/ng.pid"] + extra,
                                             env=env, stdout=open(net.dir + "/syslog-ng.log", "w"), stderr=subprocess.STDOUT))
        check_syslog(net, "syslog-ng", out, 11514)


def check_syslog(net, name, out, port):
    until(lambda: str(port) in sh("ip netns exec %s ss -Hlun" % net.a), 10)
    near = Collector(net.a, "::1", 11002)
    net.run_marker(firefly={"enrich": True, "sendToDestination": False, "collectors": ["127.0.0.1:%d" % port, "[::1]:11002"]})
    a, b = connect(net, 5000)
    net.pipe(line("start", "fd00::1", a.getsockname()[1], "fd00::2", 5000))
    near.wait(1)
    move(a, b, 1000)
    net.pipe(line("end", "fd00::1", a.getsockname()[1], "fd00::2", 5000))
    near.wait(2)
    until(lambda: os.path.exists(out) and open(out).read().count("\n") == 2, 10)
    lines = open(out).read().splitlines() if os.path.exists(out) else []
    if len(lines) != 2:
        return not_ok("%s receives two fireflies" % name, (lines, open(net.dir + "/%s.log" % name).read()[-800:]))
    for text, sent in zip(lines, near.got):
        pri, when, host, app, procid, msgid, sd, rest = text.split("|", 7)
        msg, src, experiment = rest.rsplit("|", 2)
        f = body(sent)
        check((pri, host, app, procid.strip("-"), msgid, sd.strip("-")) == ("134", sent.split(b" ")[2].decode(), "scitag-marker", "", "firefly-json", "")
              and when[:26] == f["flow-lifecycle"]["current-time"][:26] and json.loads(msg) == f,
              "%s reads our %s as RFC 5424, its message as the same JSON" % (name, state(f)), text)
        check((src, experiment) == ("fd00::1", "3"), "%s's own JSON parser finds the members" % name, (src, experiment))
    near.close()


# --- many -----------------------------------------------------------------------------------------

def swallow(listener):
    """A child that accepts, reads and closes when the other end does; a process of its own, for descriptors are few."""
    pid = os.fork()
    if pid:
        return pid
    ready = select.epoll()
    ready.register(listener, select.EPOLLIN)
    open_ones = {}
    while True:
        for fd, _ in ready.poll():
            if fd == listener.fileno():
                s = listener.accept()[0]
                open_ones[s.fileno()] = s
                ready.register(s, select.EPOLLIN)
            elif not open_ones[fd].recv(65536):
                ready.unregister(fd)
                open_ones.pop(fd).close()


def case_many():
    """FLOWS connections announced, kept KEEP_S seconds, ended: half by event, half by their closing."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if 0 <= hard < FLOWS + 200:
        return skip("%d flows" % FLOWS, "only %d descriptors" % hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    interval = 2 if KEEP_S < 60 else 30
    with Net() as net:
        for ns in (net.a, net.b):
            sh("ip netns exec %s sysctl -qw net.ipv4.ip_local_port_range='10000 65000' net.core.somaxconn=16384" % ns)
        far = Collector(net.b, "fd00::2", 10514)
        # a tenth of a second's worth may go at once: fewer than the thousand packets that a veth queues
        net.run_marker(firefly={"ongoing": "%ds" % interval, "enrich": True, "rate": 8000}, listener=None)

        def cost():
            stat = open("/proc/%d/stat" % net.daemon.pid).read().split()
            rss = int(re.search(r"VmRSS:\s+(\d+)", open("/proc/%d/status" % net.daemon.pid).read())[1])
            return (int(stat[13]) + int(stat[14])) / os.sysconf("SC_CLK_TCK"), rss / 1024

        with InNamespace(net.b):
            listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        listener.bind(("fd00::2", 5000))
        listener.listen(16384)
        child = swallow(listener)
        ends, before = [], cost()
        for i in range(FLOWS):
            if i % 500 == 0:  # one process, two namespaces: do not change for each
                with InNamespace(net.a):
                    fresh = [socket.socket(socket.AF_INET6, socket.SOCK_STREAM) for _ in range(min(500, FLOWS - i))]
            s = fresh.pop()
            s.connect(("fd00::2", 5000))
            ends.append(s)
        ports = [s.getsockname()[1] for s in ends]
        started = time.monotonic()
        net.pipe(*[line("start", "fd00::1", p, "fd00::2", 5000) for p in ports])
        fed = time.monotonic() - started
        far.wait(FLOWS, 20)
        for i, s in enumerate(ends):
            s.sendall(bytes(10 + i % 1000))
            if i % 500 == 0:
                time.sleep(0.002)
        time.sleep(max(1, KEEP_S - (time.monotonic() - started)))  # at least until all is acknowledged
        middle = cost()
        half = FLOWS // 2
        net.pipe(*[line("end", "fd00::1", p, "fd00::2", 5000) for p in ports[:half]])
        for s in ends[half:]:
            s.close()
        until(lambda: not net.status()["fireflies"]["active"], 20)
        took = time.monotonic() - started
        far.wait(sum(net.status()["fireflies"]["emitted"].values()), 20)  # the reader is slower than the marker
        after = cost()
        seen, ongoing, wrong = {}, {}, []
        index = {p: i for i, p in enumerate(ports)}
        for f in far.fireflies():
            p, s = f["flow-id"]["src-port"], state(f)
            if s == "ongoing":
                ongoing.setdefault(p, []).append(f["flow-lifecycle"]["current-time"])
            else:
                seen[p, s] = seen.get((p, s), 0) + 1
            if s == "end" and f.get("usage", {}).get("sent") != 10 + index[p] % 1000:
                wrong.append((index[p], f))
        c = net.status()["fireflies"]
        check(len(seen) == 2 * FLOWS and set(seen.values()) == {1} and {p for p, _ in seen} == set(ports),
              "%d flows: a START and an END of each, none twice" % FLOWS, (len(seen), max(seen.values(), default=0), c))
        rounds = [len(v) for v in ongoing.values()]
        low, high = int((KEEP_S - 1) / interval), int((took + 1) / interval)
        check(len(rounds) == FLOWS and min(rounds) >= low and max(rounds) <= high and all(len(v) == len(set(v)) for v in ongoing.values()),
              "%d flows: ONGOING of each, %d to %d times" % (FLOWS, min(rounds, default=0), max(rounds, default=0)), (len(rounds), low, high))
        check(not wrong, "%d flows: every END with its own bytes" % FLOWS, (len(wrong), wrong[:3]))
        check(c["received"] == c["started"] + c["renewed"] + c["ended"] + c["full"] + c["unknown_flow"] and c["gone"] == FLOWS - half,
              "%d flows: all events are accounted for, half ended by their connections" % FLOWS, c)
        check(after[1] < 300, "%d flows for %.0f s: %.2f s of CPU (%.2f to begin and keep, %.2f to end), %.0f MiB at most before the end, fed in %.1f s"
              % (FLOWS, took, after[0] - before[0], middle[0] - before[0], after[0] - middle[0], middle[1], fed), after)
        for s in ends:
            s.close()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        far.close()


CASES = [case_life, case_ipv4, case_no_marks, case_wildcards, case_udp, case_killed, case_forms, case_equal_ports, case_iperf, case_dialects, case_loop_of_our_own, case_successor, case_stun, case_flood, case_rsyslog, case_syslog_ng, case_many]

if __name__ == "__main__":
    wanted = sys.argv[1:]
    for case in CASES:
        if wanted and case.__name__[5:] not in wanted:
            continue
        try:
            case()
        except Exception as e:
            not_ok(case.__name__, repr(e))
            if marker_net.DEBUG:
                raise
    sys.exit(1 if marker_net.failures else 0)
