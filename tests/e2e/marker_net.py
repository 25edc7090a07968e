"""Two network namespaces and a veth, the marker in one of them, traffic from it, the other's capture.

Used by the 4*_marker_*.sh scripts. The reader of captures below knows Ethernet, VLAN tags, IPv6 and
its extension headers from the RFCs only; tshark reads the same files as a second opinion."""

import collections
import ctypes
import hashlib
import json
import os
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
BIN = os.environ.get("BIN", "build")
HOST_A, HOST_B = "fd00::1", "fd00::2"
DEBUG = os.environ.get("DEBUG")

failures = 0
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # a time limit must not leave namespaces behind


def ok(what):
    print("ok - " + what, flush=True)


def not_ok(what, why=""):
    global failures
    failures += 1
    print("not ok - " + what, flush=True)
    if why:
        print("    " + str(why), flush=True)


def check(good, what, why=""):
    if good:
        ok(what)
    else:
        not_ok(what, why)
    return good


def skip(what, why):
    print("skip - %s: %s" % (what, why), flush=True)


def sh(command, **kw):
    if DEBUG:
        print("    # " + command, flush=True)
    return subprocess.run(command, shell=True, check=True, capture_output=True, text=True, **kw).stdout


def try_sh(command):
    return subprocess.run(command, shell=True, capture_output=True, text=True)


def test_object(name):
    """A BPF object of tests/bpf, built where the programs are."""
    b = os.path.abspath(BIN)
    obj = "%s/tests/bpf/%s.bpf.o" % (b, name)
    sh("make -s -C %s B=%s %s" % (os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."), b, obj))
    return obj


class InNamespace:
    """with InNamespace("x"): sockets made inside belong to namespace x, of this thread."""

    def __init__(self, name):
        self.name = name

    def __enter__(self):
        self.old = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        fd = os.open("/run/netns/" + self.name, os.O_RDONLY)
        if LIBC.setns(fd, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        os.close(fd)

    def __exit__(self, *_):
        LIBC.setns(self.old, CLONE_NEWNET)
        os.close(self.old)


def carry(namespace, delay_s, loss):
    """A long wire between the devices ra and rb of a namespace: frames arrive late by delay_s, and of the long ones that
    enter at ra the share `loss` does not, by a random sequence that starts again at SIGUSR1: every transfer loses the same.
    (This kernel may lack netem, and iproute2 its seed.)"""
    chance, queue, ends, poll = random.Random(1), collections.deque(), [], select.poll()
    signal.signal(signal.SIGUSR1, lambda *_: chance.seed(1))
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(10))
    with InNamespace(namespace):
        for dev in ("ra", "rb"):
            s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            s.setsockopt(263, 23, 1)  # PACKET_IGNORE_OUTGOING
            for option in (32, 33):  # SO_SNDBUFFORCE, SO_RCVBUFFORCE
                s.setsockopt(socket.SOL_SOCKET, option, 16 << 20)
            s.bind((dev, 3))
            s.setblocking(False)
            ends.append(s)
            poll.register(s, select.POLLIN)
    while True:
        poll.poll(max(0, (queue[0][0] - time.monotonic()) * 1000) if queue else None)
        now = time.monotonic()
        for s, other in (ends, ends[::-1]):
            try:
                for _ in range(64):
                    frame = s.recv(2048)
                    if s is ends[0] and len(frame) > 600 and chance.random() < loss:
                        continue
                    queue.append((now + delay_s, other, frame))
            except BlockingIOError:
                pass
        while queue and queue[0][0] <= now:
            _, other, frame = queue.popleft()
            other.send(frame)


class Net:
    """A -- B, addresses fd00::1 and ::2; `router_mtu` puts a namespace R between them that routes, `wire`, (seconds one
    way, share that is lost), one that is a long wire."""

    made = 0

    def __init__(self, mtu=1500, offloads=(), router_mtu=None, addresses_a=(), wire=None):
        Net.made += 1
        self.tag = "mk%d-%d" % (os.getpid(), Net.made)
        self.a, self.b, self.r = self.tag + "a", self.tag + "b", self.tag + "r"
        self.dir = tempfile.mkdtemp(prefix="marker-")
        self.daemon = None
        self.extra = ""  # of the marker's configuration
        self.children = []
        self.wire_pid = 0
        try:
            self.build(mtu, offloads, router_mtu, addresses_a, wire)
        except BaseException:
            self.close()
            raise

    def build(self, mtu, offloads, router_mtu, addresses_a, wire):
        for ns in (self.a, self.b) + ((self.r,) if router_mtu or wire else ()):
            sh("ip netns add " + ns)
            sh("ip -n %s link set lo up" % ns)
        if router_mtu:
            self.link(self.a, "va", self.r, "ra", mtu)
            self.link(self.b, "vb", self.r, "rb", router_mtu)
            sh("ip -n %s addr add fd00::1/64 dev va nodad" % self.a)
            sh("ip -n %s addr add fd00::ff/64 dev ra nodad" % self.r)
            sh("ip -n %s addr add fd01::ff/64 dev rb nodad" % self.r)
            sh("ip -n %s addr add fd01::2/64 dev vb nodad" % self.b)
            sh("ip -n %s -6 route add default via fd00::ff" % self.a)
            sh("ip -n %s -6 route add default via fd01::ff" % self.b)
            sh("ip netns exec %s sysctl -qw net.ipv6.conf.all.forwarding=1" % self.r)
            # the far end believes in the wide MTU and says so in its MSS
            sh("ip -n %s -6 route replace default via fd01::ff advmss %d" % (self.b, mtu - 60))
            self.host_b = "fd01::2"
        else:
            if wire:
                sh("ip netns exec %s sysctl -qw net.ipv6.conf.default.disable_ipv6=1" % self.r)
                self.link(self.a, "va", self.r, "ra", mtu)
                self.link(self.b, "vb", self.r, "rb", mtu)
                offloads += ("tx off",)  # frames pass as bytes: what the card would do later must be done
            else:
                self.link(self.a, "va", self.b, "vb", mtu)
            sh("ip -n %s addr add fd00::1/64 dev va nodad" % self.a)
            for extra in addresses_a:
                sh("ip -n %s addr add %s/64 dev va nodad" % (self.a, extra))
            sh("ip -n %s addr add fd00::2/64 dev vb nodad" % self.b)
            self.host_b = HOST_B
        for o in offloads:
            for ns, dev in ((self.a, "va"), (self.b, "vb")):
                sh("ip netns exec %s ethtool -K %s %s" % (ns, dev, o))
        if wire:
            self.wire_pid = os.fork()
            if not self.wire_pid:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                signal.alarm(600)
                try:
                    carry(self.r, *wire)
                except BaseException:
                    traceback.print_exc()
                    os._exit(1)
        time.sleep(0.2)
        for ns, host in ((self.a, self.host_b), (self.b, HOST_A)):
            try_sh("ip netns exec %s ping -c 1 -W 2 %s" % (ns, host))

    @staticmethod
    def link(ns1, dev1, ns2, dev2, mtu):
        sh("ip link add %s netns %s mtu %d type veth peer name %s netns %s mtu %d" % (dev1, ns1, mtu, dev2, ns2, mtu))
        for ns, dev in ((ns1, dev1), (ns2, dev2)):
            sh("ip -n %s link set %s up" % (ns, dev))
            # one CPU receives: packets of a flow in two backlogs would be reordered by the veth itself
            sh("ip netns exec %s sh -c 'echo 2 > /sys/class/net/%s/queues/rx-0/rps_cpus'" % (ns, dev))

    def close(self):
        self.stop()
        for c in self.children:
            if c.poll() is None:
                c.kill()
                c.wait()
        if self.wire_pid:
            os.kill(self.wire_pid, signal.SIGKILL)
            os.waitpid(self.wire_pid, 0)
        for ns in (self.a, self.b, self.r):
            try_sh("ip netns del " + ns)
        try_sh("rm -rf " + self.dir)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # --- the marker ---

    def start(self, strategy="label", extra="", interfaces="va", top="", wait=True, args=""):
        if "attach" not in extra:
            extra = "attach: clsact\n" + extra  # whether or not this machine has a bpffs mounted
        conf = self.dir + "/marker.yaml"
        with open(conf, "w") as f:
            f.write(
                "backends:\n  marker:\n    targetInterfaces: [%s]\n    markingStrategy: %s\n%s"
                "plugins:\n  namedPipe:\n    pipePath: %s/np\ncontrol: {path: %s/sock}\n%s"
                % (interfaces, strategy, "".join("    %s\n" % l for l in extra.splitlines()), self.dir, self.dir, top)
            )
        self.log = open(self.dir + "/log", "a")
        self.daemon = subprocess.Popen(
            "exec nsenter --net=/run/netns/%s %s/scitag-marker --conf %s --log-level debug %s run" % (self.a, BIN, conf, args),
            shell=True, stderr=self.log, stdout=self.log)
        if wait:
            self.wait_up()

    def wait_up(self):
        for _ in range(100):
            if try_sh("%s/scitag-marker --conf %s/marker.yaml status" % (BIN, self.dir)).returncode == 0:
                return
            if self.daemon.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError("the marker did not start: " + open(self.dir + "/log").read()[-2000:])

    def stop(self, sig=signal.SIGTERM):
        if self.daemon:
            if self.daemon.poll() is None:
                self.daemon.send_signal(sig)
            self.daemon.wait(10)
            self.daemon = None

    def ask(self, words):
        return sh("%s/scitag-marker --conf %s/marker.yaml %s" % (BIN, self.dir, words))

    def status(self):
        return json.loads(self.ask("status --json"))

    # --- what the kernels counted ---

    def counters(self, ns):
        out = {}
        for line in sh("ip netns exec %s nstat -asz" % ns).splitlines():
            f = line.split()
            if len(f) >= 2 and not line.startswith("#"):
                out[f[0]] = int(f[1])
        dev = {self.a: "va", self.b: "vb"}[ns]
        link = json.loads(sh("ip -n %s -s -j link show %s" % (ns, dev)))[0]
        stats = link.get("stats64") or link.get("stats")
        out["dev_drops"] = stats["tx"]["dropped"] + stats["rx"]["dropped"] + stats["tx"]["errors"] + stats["rx"]["errors"]
        return out

    # --- captures ---

    def capture(self, snap=160, ns=None, dev="vb"):
        return Capture(self, snap, ns or self.b, dev)


class Capture:
    def __init__(self, net, snap, ns, dev):
        self.path = "%s/%d.pcap" % (net.dir, time.monotonic_ns())
        self.proc = subprocess.Popen(
            ["ip", "netns", "exec", ns, "tcpdump", "-Z", "root", "-Q", "in", "-i", dev, "-B", "131072", "-s", str(snap), "-w", self.path, "-U", "--immediate-mode"],
            stderr=subprocess.PIPE, text=True)
        net.children.append(self.proc)
        while "listening on" not in self.proc.stderr.readline():
            if self.proc.poll() is not None:
                raise RuntimeError("tcpdump did not start")
        time.sleep(0.05)

    def stop(self):
        size = -1
        for _ in range(10):  # until it has caught up; traffic may go on
            if size == os.path.getsize(self.path):
                break
            size = os.path.getsize(self.path)
            time.sleep(0.15)
        self.proc.send_signal(signal.SIGINT)
        said = self.proc.stderr.read()
        self.proc.wait(20)
        if "0 packets dropped by kernel" not in said:
            raise RuntimeError("the capture is not complete: " + said)
        return self.path


class Packet:
    __slots__ = ("length", "ip_bytes", "vlans", "word", "label", "traffic_class", "proto", "sport", "dport", "src", "dst",
                 "hbh", "dst_opt", "chain", "flags", "payload", "jumbo", "fragment", "l3", "raw", "seq")


def read_options(b, off, length):
    """Values of option 1e with three bytes in a header; jumbo payload length."""
    tags, jumbo, end = [], None, off + length
    off += 2
    while off < end:
        kind = b[off]
        if kind == 0:
            off += 1
            continue
        n = b[off + 1]
        if off + 2 + n > end:
            raise ValueError("an option runs past its header")
        if kind == 0x1E and n == 3:
            tags.append((b[off + 2] << 8 | b[off + 3], b[off + 4]))
        if kind == 0xC2:
            jumbo = struct.unpack_from(">I", b, off + 2)[0]
        off += 2 + n
    return tags, jumbo


def read_packet(b, length):
    p = Packet()
    p.raw, p.length, p.vlans, off = b, length, [], 12
    kind = struct.unpack_from(">H", b, off)[0]
    while kind in (0x8100, 0x88A8):
        p.vlans.append((kind, struct.unpack_from(">H", b, off + 2)[0]))
        off += 4
        kind = struct.unpack_from(">H", b, off)[0]
    if kind != 0x86DD:
        return None
    off += 2
    p.l3 = off
    p.word, payload, nxt = struct.unpack_from(">IHB", b, off)
    p.label, p.traffic_class = p.word & 0xFFFFF, p.word >> 20 & 0xFF
    p.src, p.dst = b[off + 8:off + 24], b[off + 24:off + 40]
    p.hbh, p.dst_opt, p.chain, p.jumbo, p.fragment = [], [], [], None, None
    off += 40
    while nxt in (0, 60, 43, 44):
        n = 8 if nxt == 44 else 8 * (b[off + 1] + 1)
        if nxt in (0, 60):
            tags, jumbo = read_options(b, off, n)
            if jumbo:
                p.jumbo = jumbo
            if nxt == 0:
                p.hbh += tags
            else:
                p.dst_opt += tags
        if nxt == 44:
            p.fragment = struct.unpack_from(">H", b, off + 2)[0] >> 3
        p.chain.append(nxt)
        nxt = b[off]
        off += n
        if p.fragment:
            break
    p.proto = nxt
    p.ip_bytes = 40 + (p.jumbo if p.jumbo else payload)
    p.sport = p.dport = p.flags = p.seq = None
    if nxt in (6, 17, 132) and not p.fragment:
        p.sport, p.dport = struct.unpack_from(">HH", b, off)
        if nxt == 6:
            p.flags = b[off + 13]
            p.seq = struct.unpack_from(">I", b, off + 4)[0]
            off += b[off + 12] >> 4 << 2
        elif nxt == 17:
            off += 8
    p.payload = p.ip_bytes - (off - p.l3)
    return p


def read_pcap(path):
    with open(path, "rb") as f:
        data = f.read()
    if data[:4] != b"\xd4\xc3\xb2\xa1":
        raise ValueError("not a little-endian pcap file")
    off = 24
    while off + 16 <= len(data):
        _, _, caught, length = struct.unpack_from("<IIII", data, off)
        p = read_packet(data[off + 16:off + 16 + caught], length)
        if p:
            yield p
        off += 16 + caught


ENTROPY = 0xC0103


def label_of(experiment, activity):
    return int(format(experiment, "09b")[::-1], 2) << 9 | activity << 2


def is_marked(p, strategy, tag, other_label=None):
    """Exactly what the strategy writes, no more."""
    if strategy == "label":
        return p.label & ~ENTROPY == label_of(*tag) and not p.hbh and not p.dst_opt
    want = {"destination": ([], [tag]), "hopByHop": ([tag], []), "hopByHopDestination": ([tag], [tag])}[strategy]
    return (p.hbh, p.dst_opt) == want


def strategy_filter(strategy, tag):
    """The same as a display filter, for tshark."""
    if strategy == "label":
        with_entropy = [label_of(*tag) | a << 18 | b << 8 | c for a in range(4) for b in range(2) for c in range(4)]
        return "ipv6.flow in {%s}" % ",".join("0x%x" % l for l in with_entropy)
    opt = "%02x:%02x:%02x" % (tag[0] >> 8, tag[0] & 255, tag[1])
    where = {"destination": "ipv6.dstopts", "hopByHop": "ipv6.hopopts", "hopByHopDestination": "ipv6.hopopts && ipv6.dstopts"}[strategy]
    return "%s && ipv6.opt.experimental == %s" % (where, opt)


def tshark_count(path, display, options=""):
    out = sh("tshark -n -r %s %s -Y '%s' -T fields -e frame.number 2>/dev/null | wc -l" % (path, options, display))
    return int(out)


# --- traffic: each returns what the far end saw -------------------------------------------------

def pattern(n):
    """n bytes that differ everywhere, the same every time."""
    block = random.Random(1).randbytes(1 << 20)
    return block * (n // len(block)) + block[: n % len(block)]


class Child:
    """A function in a process of its own; its result comes back as JSON."""

    def __init__(self, function, *args):
        self.r, w = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(self.r)
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                signal.alarm(90)
                os.write(w, json.dumps(function(*args)).encode())
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        os.close(w)

    def result(self):
        data = b""
        while True:
            part = os.read(self.r, 65536)
            if not part:
                break
            data += part
        os.close(self.r)
        _, status = os.waitpid(self.pid, 0)
        if status:
            raise RuntimeError("a traffic process failed")
        return json.loads(data)


def tcp_socket(ns, host, port):
    with InNamespace(ns):
        s = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # the default may be bbr, which retransmits much over a veth, marks or none
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
        s.bind((host, port))
    return s


def receive_all(s):
    h, n = hashlib.blake2b(), 0
    while True:
        try:
            d = s.recv(1 << 18)
        except ConnectionResetError:  # the hash will tell
            d = b""
        if not d:
            return {"hash": h.hexdigest(), "bytes": n}
        h.update(d)
        n += len(d)


def tcp_mss(s):
    return s.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
