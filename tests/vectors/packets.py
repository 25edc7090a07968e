#!/usr/bin/python3
"""Writes packets.tsv: frames with a story, and what a reader must find in them.

The bytes are put together here field by field; what is expected stands beside them as literals, worked out by
hand from the RFCs and from docs/reading.md, and held against tshark by tests/e2e/10_vectors_tshark.sh.
Addresses are from 2001:db8::/32, 192.0.2.0/24 and 198.51.100.0/24. Usage: packets.py > packets.tsv
       packets.py DIRECTORY      also the same frames as a corpus for tests/fuzz/fuzz_packet.c
"""
import os, struct, sys

# --- layers, innermost last ------------------------------------------------------------------------------------
MAC = bytes.fromhex("0200005e0002" "0200005e0001")
A6, B6 = (bytes.fromhex("20010db8%04x%020x" % (n, n)) for n in (0xA, 0xB))
C6, D6 = (bytes.fromhex("20010db8%04x%020x" % (n, n)) for n in (0xC, 0xD))
A4, B4 = bytes([192, 0, 2, 1]), bytes([198, 51, 100, 2])


def eth(kind, *rest):
    return MAC + struct.pack(">H", kind) + b"".join(rest)


def tag(vid, kind):  # the TCI with priority 3, then what follows
    return struct.pack(">HH", 0x6000 | vid, kind)


def ip6(label, nh, *rest, tc=0, plen=None, src=A6, dst=B6):
    body = b"".join(rest)
    return struct.pack(">IHBB", 6 << 28 | tc << 20 | label, len(body) if plen is None else plen, nh, 61) + src + dst + body


def ip4(proto, *rest, options=b"", frag=0, total=None, tos=0):
    body = b"".join(rest)
    n = 20 + len(options)
    h = struct.pack(">BBHHHBBH", 0x40 | n // 4, tos, n + len(body) if total is None else total, 7, frag, 61, proto, 0)
    h += A4 + B4 + options
    s = sum(struct.unpack(">%dH" % (n // 2), h))
    s = (s & 0xFFFF) + (s >> 16)
    s = ~((s & 0xFFFF) + (s >> 16)) & 0xFFFF
    return h[:10] + struct.pack(">H", s) + h[12:] + body


def tcp(sport=1094, dport=45678, flags=0x18):
    return struct.pack(">HHIIBBHHH", sport, dport, 1, 2, 0x50, flags, 512, 0, 0)


def udp(sport, dport, *rest):
    body = b"".join(rest)
    return struct.pack(">HHHH", sport, dport, 8 + len(body), 0) + body


def sctp(sport, dport):
    return struct.pack(">HHII", sport, dport, 0x01020304, 0) + bytes([3, 0, 0, 16]) + bytes(12)


def eh(nh, *options, units=None):  # hop-by-hop or destination options, padded with Pad1
    body = b"".join(options)
    body += bytes(-(len(body) + 2) % 8)
    return bytes([nh, (len(body) + 2) // 8 - 1 if units is None else units]) + body


def opt(kind, *data):
    return bytes([kind, len(data)]) + bytes(data)


def plain(exp, act):  # 1E/3, experiment and activity
    return opt(0x1E, exp >> 8, exp & 255, act)


def label24(label):  # 1E/3, a flow label
    return opt(0x1E, label >> 16, label >> 8 & 255, label & 255)


def label32(label):  # 1F/4, a flow label and a zero byte
    return opt(0x1F, label >> 16, label >> 8 & 255, label & 255, 0)


PADN = opt(1, 0, 0)
FOREIGN = opt(0x3E, 0xCA, 0xFE)
TAIL = bytes(range(0x40, 0x50))  # payload that nobody reads

# --- what is expected --------------------------------------------------------------------------------------------
COLUMNS = """name link hex verdict kernel family protocol sport dport label tclass vlans mpls tunnel vni ip_bytes flags
             hbh do carrier exp act grade dialect other story""".split()
DEFAULT = dict(link="ethernet", verdict="ok", kernel="same", family=6, protocol=6, sport=1094, dport=45678, label=0, tclass=0,
               vlans="-", mpls=0, tunnel="-", vni=0, ip_bytes=0, flags="ports", hbh="-", do="-", carrier="none", exp=0, act=0,
               grade="untagged", dialect="-", other="-")
NOTHING = dict(family=0, protocol=0, sport=0, dport=0, flags="-")
rows = []


def frame(name, data, story, *sets, **fields):
    row = dict(DEFAULT)
    for s in sets:
        row.update(s)
    row.update(fields)
    assert set(row) <= set(COLUMNS), set(row) - set(COLUMNS)
    row.update(name=name, hex=data.hex(), story=story, label="%05x" % row["label"], tclass="%02x" % row["tclass"])
    rows.append(row)


# Labels worked out by hand. 3/14: 3 is 000000011, mirrored 110000000 in bits 17..9 = 30000; 14 << 2 = 38: 30038; entropy
# 40002 makes 7003a. 2/9: 010000000 = 10000, 9 << 2 = 24: 10024. 1/2: 100000000 = 20000, 2 << 2 = 8: 20008, entropy 00103
# makes 2010b. 12345 decodes to 11 0010 001 -> bits 17..9 = 010010001 mirrored 100010010 = 274, act 0x345 >> 2 & 3f = 17.
CMS, CMS_E, ATLAS, PERF = 0x30038, 0x7003A, 0x10024, 0x2010B
CHANCE = 0x12345
LABEL_CMS = dict(label=CMS_E, carrier="label", exp=3, act=14, grade="registered")
LABEL_CHANCE = dict(label=CHANCE, carrier="label", exp=274, act=17, grade="unregistered")
DO_CMS = dict(do="1e:00030e", carrier="destination", exp=3, act=14, grade="confirmed", dialect="plain")
DO_ATLAS = dict(do="1e:000209", carrier="destination", exp=2, act=9, grade="confirmed", dialect="plain")
HBH_CMS = dict(hbh="1e:00030e", carrier="hop-by-hop", exp=3, act=14, grade="confirmed", dialect="plain")

t = tcp()
inner = ip6(CMS_E, 6, t)  # 60 bytes
IP60 = dict(ip_bytes=60)

# --- labels, VLANs ---
frame("label", eth(0x86DD, inner), "a marked flow label, nothing else", LABEL_CMS, IP60)
frame("label_traffic_class", eth(0x86DD, ip6(CMS_E, 6, t, tc=0xB9)), "DSCP 46 and ECN 1 stand beside the label", LABEL_CMS, IP60, tclass=0xB9)
frame("label_vlan", eth(0x8100, tag(7, 0x86DD), inner), "one VLAN tag", LABEL_CMS, IP60, vlans="7")
frame("label_qinq", eth(0x88A8, tag(300, 0x8100), tag(7, 0x86DD), inner), "a service tag, then a customer tag", LABEL_CMS, IP60, vlans="300,7")
frame("label_vlan_x4", eth(0x9100, tag(1, 0x88A8), tag(2, 0x8100), tag(3, 0x8100), tag(4094, 0x86DD), inner), "four VLAN tags, all three ethertypes", LABEL_CMS, IP60,
      vlans="1,2,3,4094")
frame("vlan_x5", eth(0x8100, tag(1, 0x8100), tag(2, 0x8100), tag(3, 0x8100), tag(4, 0x8100), tag(5, 0x86DD), inner), "a fifth VLAN tag is one too many", NOTHING,
      verdict="chain", vlans="1,2,3,4")
frame("label_udp", eth(0x86DD, ip6(PERF, 17, udp(5001, 443))), "UDP with a marked label", label=PERF, carrier="label", exp=1, act=2, grade="registered",
      protocol=17, sport=5001, dport=443, ip_bytes=48)
frame("label_sctp", eth(0x86DD, ip6(ATLAS, 132, sctp(2905, 36412))), "SCTP has its ports where TCP has them", label=ATLAS, carrier="label", exp=2, act=9,
      grade="registered", protocol=132, sport=2905, dport=36412, ip_bytes=68)
frame("label_zero", eth(0x86DD, ip6(0, 6, t)), "no label, no tag", IP60)
frame("label_entropy_only", eth(0x86DD, ip6(0xC0103, 6, t)), "entropy around 0/0, which is never registered", IP60, label=0xC0103, carrier="label", grade="unregistered")
frame("label_chance", eth(0x86DD, ip6(CHANCE, 6, t)), "an ordinary random label", LABEL_CHANCE, IP60)
frame("label_max", eth(0x86DD, ip6(0xFFFFF, 6, t)), "all ones: 511/63", IP60, label=0xFFFFF, carrier="label", exp=511, act=63, grade="unregistered")
frame("icmpv6", eth(0x86DD, ip6(ATLAS, 58, bytes([128, 0, 0, 0, 0, 1, 0, 1]))), "no ports above ICMPv6", label=ATLAS, carrier="label", exp=2, act=9,
      grade="registered", protocol=58, sport=0, dport=0, flags="-", ip_bytes=48)
frame("no_next_header", eth(0x86DD, ip6(ATLAS, 59)), "a bare IPv6 header with next header 59", label=ATLAS, carrier="label", exp=2, act=9, grade="registered",
      protocol=59, sport=0, dport=0, flags="-", ip_bytes=40)
frame("label_padded", eth(0x86DD, ip6(ATLAS, 59), TAIL), "Ethernet padding behind a short packet", label=ATLAS, carrier="label", exp=2, act=9, grade="registered",
      protocol=59, sport=0, dport=0, flags="-", ip_bytes=40)

# --- options ---
frame("do_plain", eth(0x86DD, ip6(CHANCE, 60, eh(6, plain(3, 14)), t)), "a destination option beside a random label", DO_CMS, label=CHANCE, ip_bytes=68)
frame("hbh_plain", eth(0x86DD, ip6(CHANCE, 0, eh(6, plain(3, 14)), t)), "a hop-by-hop option", HBH_CMS, label=CHANCE, ip_bytes=68)
frame("hbh_do_plain", eth(0x86DD, ip6(CHANCE, 0, eh(60, plain(3, 14)), eh(6, plain(3, 14)), t)), "both headers agree", DO_CMS, label=CHANCE, hbh="1e:00030e",
      carrier="hop-by-hop+destination", ip_bytes=76)
frame("do_label24", eth(0x86DD, ip6(0, 60, eh(6, label24(CMS_E)), t)), "1E/3 holding a label with entropy", do="1e:07003a", carrier="destination", exp=3, act=14,
      grade="confirmed", dialect="label24", ip_bytes=68)
frame("hbh_label32", eth(0x86DD, ip6(0, 0, eh(6, label32(CMS_E)), t)), "1F/4 holding a label with entropy", hbh="1f:07003a", carrier="hop-by-hop", exp=3, act=14,
      grade="confirmed", dialect="label32", ip_bytes=68)
frame("label32_fourth_byte", eth(0x86DD, ip6(CHANCE, 60, eh(6, opt(0x1F, 0x07, 0x00, 0x3A, 0x01)), t)), "1F/4 whose fourth byte is not zero is another's option",
      LABEL_CHANCE, ip_bytes=68)
frame("label24_length_4", eth(0x86DD, ip6(CHANCE, 60, eh(6, opt(0x1E, 0, 3, 14, 0)), t)), "1E with four bytes is another's option", LABEL_CHANCE, ip_bytes=68)
frame("do_behind_foreign", eth(0x86DD, ip6(0, 60, eh(6, PADN, FOREIGN, plain(2, 9)), t)), "PadN and an unknown experimental option come first", DO_ATLAS, ip_bytes=76)
frame("do_behind_pad1", eth(0x86DD, ip6(0, 60, eh(6, bytes(5), plain(2, 9)), t)), "five Pad1 come first", DO_ATLAS, ip_bytes=76)
frame("do_other_types", eth(0x86DD, ip6(CHANCE, 60, eh(6, *[opt(k, 0, 3, 14) for k in (0x3E, 0x5E, 0x7E, 0x9E)]), t)), "the other experimental types are no tags",
      LABEL_CHANCE, ip_bytes=84)
frame("do_max", eth(0x86DD, ip6(0, 60, eh(6, plain(65535, 255)), t)), "beyond every number that can be registered", do="1e:ffffff", carrier="destination", exp=65535,
      act=255, grade="unregistered", dialect="plain", ip_bytes=68)
frame("do_unregistered_label_registered", eth(0x86DD, ip6(CMS_E, 60, eh(6, plain(100, 1)), t)), "an option nobody registered hides the label: its sender leaves that to chance",
      label=CMS_E, do="1e:006401", carrier="destination", exp=100, act=1, grade="unregistered", dialect="plain", ip_bytes=68)
frame("do_label24_unregistered", eth(0x86DD, ip6(0, 60, eh(6, label24(CHANCE)), t)), "1E/3 registered in neither form reads as plain: 0x123 = 291, 0x45 = 69", do="1e:012345",
      carrier="destination", exp=291, act=69, grade="unregistered", dialect="plain", ip_bytes=68)
frame("hbh_alert_routing_do", eth(0x86DD, ip6(0, 0, eh(43, opt(5, 0, 0)), bytes([60, 0, 253, 0, 0, 0, 0, 0]), eh(6, plain(2, 9)), t)),
      "router alert, an experimental routing header, then the tag", DO_ATLAS, ip_bytes=84)
frame("do_before_routing", eth(0x86DD, ip6(0, 60, eh(43, plain(2, 9)), bytes([6, 0, 253, 0, 0, 0, 0, 0]), t)), "destination options for the first hop count too", DO_ATLAS, ip_bytes=76)
frame("do_twice_last_wins", eth(0x86DD, ip6(0, 60, eh(60, plain(3, 14)), eh(6, plain(2, 9)), t)), "of two destination options headers the last that carries a tag", DO_ATLAS,
      ip_bytes=76)
frame("do_twice_last_empty", eth(0x86DD, ip6(0, 60, eh(60, plain(2, 9)), eh(6, opt(1, 0, 0, 0, 0)), t)), "the last one carries none", DO_ATLAS, ip_bytes=76)
frame("do_repeat_same", eth(0x86DD, ip6(0, 60, eh(6, plain(2, 9), plain(2, 9)), t)), "the same tag twice in one header", DO_ATLAS, ip_bytes=76)
frame("do_repeat_differs", eth(0x86DD, ip6(0, 60, eh(6, plain(2, 9), plain(3, 14)), t)), "two tags in one header: the first, and the conflict is told", DO_ATLAS, ip_bytes=76,
      flags="ports,conflict")
frame("hbh_do_disagree", eth(0x86DD, ip6(CHANCE, 0, eh(60, plain(3, 14)), eh(6, plain(2, 9)), t)), "two headers, two tags: destination options are the tag", DO_ATLAS,
      label=CHANCE, hbh="1e:00030e", grade="disagree", other="3/14", ip_bytes=76)
frame("hbh_do_dialects_agree", eth(0x86DD, ip6(0, 0, eh(60, label32(CMS)), eh(6, plain(3, 14)), t)), "two forms of the same tag are no disagreement", DO_CMS, hbh="1f:030038",
      carrier="hop-by-hop+destination", ip_bytes=76)
frame("stray_hbh", eth(0x86DD, ip6(CHANCE, 60, eh(0, opt(1, 0, 0, 0, 0)), eh(6, plain(3, 14)), t)), "hop-by-hop where it may not stand: skipped, no tag from it", LABEL_CHANCE,
      flags="ports,stray_hbh", ip_bytes=76)
frame("option_overrun", eth(0x86DD, ip6(CHANCE, 60, eh(6, opt(0x1E, 0, 3, 14)[:1] + bytes([9, 0, 3, 14, 0])), t)), "an option longer than its header", LABEL_CHANCE,
      flags="ports,malformed_eh", ip_bytes=68)
frame("option_overrun_after_tag", eth(0x86DD, ip6(CHANCE, 60, eh(6, plain(3, 14), bytes([5, 200]), bytes(7)), t)), "a good tag, then an option longer than the header: none of it is believed",
      LABEL_CHANCE, flags="ports,malformed_eh", ip_bytes=76)
frame("option_no_length", eth(0x86DD, ip6(CHANCE, 60, eh(6, plain(3, 14), bytes([5])), t)), "the header ends behind an option's type", LABEL_CHANCE, flags="ports,malformed_eh",
      ip_bytes=68)
frame("option_empty", eth(0x86DD, ip6(0, 60, eh(6, bytes([5, 0]), opt(1), plain(2, 9)), t)), "options of length 0", DO_ATLAS, ip_bytes=76)
frame("option_long", eth(0x86DD, ip6(0, 60, eh(6, opt(0x3E, *range(200)), plain(2, 9)), t)), "the tag behind 200 bytes of something else", DO_ATLAS, ip_bytes=60 + 216)
frame("options_x20", eth(0x86DD, ip6(0, 60, eh(6, opt(1, 0) * 20, plain(2, 9)), t)), "the tag behind twenty PadN: more than the kernel's program follows", DO_ATLAS,
      kernel="chain", ip_bytes=60 + 72)
frame("header_past_payload", eth(0x86DD, ip6(CHANCE, 60, eh(6, plain(3, 14)), plen=4), TAIL), "the IPv6 payload ends inside the header: what follows is not its",
      LABEL_CHANCE, protocol=0, sport=0, dport=0, flags="malformed_eh", ip_bytes=44)
frame("ports_past_payload", eth(0x86DD, ip6(CHANCE, 60, eh(6, plain(3, 14))), TAIL), "a tag, then nothing but Ethernet padding", DO_CMS, label=CHANCE,
      sport=0, dport=0, flags="malformed_eh", ip_bytes=48)

# --- other extension headers ---
frag = lambda nh, off, more: struct.pack(">BBHI", nh, 0, off << 3 | more, 0xABCD)
frame("fragment_first", eth(0x86DD, ip6(0, 60, eh(44, plain(2, 9)), frag(6, 0, 1), t)), "a first fragment shows tag and ports", DO_ATLAS, flags="ports,fragment", ip_bytes=76)
frame("fragment_later", eth(0x86DD, ip6(ATLAS, 44, frag(6, 181, 0), TAIL)), "a later one shows the label only", label=ATLAS, carrier="label", exp=2, act=9, grade="registered",
      sport=0, dport=0, flags="fragment,later_fragment", ip_bytes=64)
frame("fragment_later_options", eth(0x86DD, ip6(ATLAS, 44, frag(60, 1, 0), eh(6, plain(3, 14)))), "bytes of a later fragment are not headers, whatever they look like", label=ATLAS,
      carrier="label", exp=2, act=9, grade="registered", protocol=0, sport=0, dport=0, flags="fragment,later_fragment", ip_bytes=56)
ah = lambda nh, n: bytes([nh, n, 0, 0]) + bytes(4 * n + 4)
frame("ah_do", eth(0x86DD, ip6(0, 51, ah(60, 4), eh(6, plain(2, 9)), t)), "an authentication header counts in units of four", DO_ATLAS, ip_bytes=40 + 24 + 8 + 20)
frame("ah_odd", eth(0x86DD, ip6(ATLAS, 51, ah(6, 5), t)), "28 bytes of it", label=ATLAS, carrier="label", exp=2, act=9, grade="registered", ip_bytes=88)
frame("esp", eth(0x86DD, ip6(ATLAS, 50, struct.pack(">II", 256, 1), TAIL)), "what follows is encrypted", label=ATLAS, carrier="label", exp=2, act=9, grade="registered",
      protocol=50, sport=0, dport=0, flags="esp", ip_bytes=64)
frame("do_esp", eth(0x86DD, ip6(0, 60, eh(50, plain(2, 9)), struct.pack(">II", 256, 1), TAIL)), "the tag stands before it", DO_ATLAS, protocol=50, sport=0, dport=0, flags="esp",
      ip_bytes=72)
frame("mobility_hip_shim6", eth(0x86DD, ip6(0, 135, bytes([139, 0]) + bytes(6), bytes([140, 1]) + bytes(14), bytes([60, 0]) + bytes(6), eh(6, plain(2, 9)), t)),
      "headers that are stepped over", DO_ATLAS, ip_bytes=40 + 8 + 16 + 8 + 8 + 20)
frame("headers_x16", eth(0x86DD, ip6(CHANCE, 60, *[eh(60)] * 15, eh(6, plain(2, 9)), t)), "sixteen headers, the tag in the last", DO_ATLAS, label=CHANCE, ip_bytes=60 + 128)
frame("headers_x17", eth(0x86DD, ip6(CHANCE, 60, *[eh(60)] * 16, eh(6, plain(2, 9)), t)), "seventeen", verdict="chain", label=CHANCE, protocol=0, sport=0, dport=0, flags="-",
      ip_bytes=60 + 136)
frame("jumbo", eth(0x86DD, ip6(ATLAS, 0, eh(6, opt(0xC2, 0, 1, 0x20, 0)), t, plen=0)), "BIG TCP: the length is in an option, 0x12000 = 73728", label=ATLAS, carrier="label",
      exp=2, act=9, grade="registered", flags="ports,jumbo", ip_bytes=73768)
frame("jumbo_tag", eth(0x86DD, ip6(0, 0, eh(60, opt(0xC2, 0, 1, 0x20, 0)), eh(6, plain(2, 9)), t, plen=0)), "and a tag behind it", DO_ATLAS, flags="ports,jumbo", ip_bytes=73768)
frame("jumbo_too_small", eth(0x86DD, ip6(ATLAS, 0, eh(6, opt(0xC2, 0, 0, 0xFF, 0xFF)), t, plen=0)), "a jumbo length that is none (RFC 2675 section 3)", label=ATLAS, carrier="label",
      exp=2, act=9, grade="registered")
frame("jumbo_not_zero", eth(0x86DD, ip6(ATLAS, 0, eh(6, opt(0xC2, 0, 1, 0, 0)), t)), "a payload length beside it: the option does not count", label=ATLAS, carrier="label",
      exp=2, act=9, grade="registered", ip_bytes=68)
frame("length_zero", eth(0x86DD, ip6(ATLAS, 6, t, plen=0)), "merged beyond 64 KiB and nothing says how long", label=ATLAS, carrier="label", exp=2, act=9, grade="registered")

# --- IPv4 ---
V4 = dict(family=4)
frame("ipv4", eth(0x0800, ip4(6, t, tos=0x28)), "IPv4 carries no tag", V4, ip_bytes=40, tclass=0x28)
frame("ipv4_options", eth(0x0800, ip4(6, t, options=bytes([148, 4, 0, 0]))), "ports behind IPv4 options", V4, ip_bytes=44)
frame("ipv4_fragment_first", eth(0x0800, ip4(17, udp(53, 5353), frag=0x2000)), "first fragment", V4, protocol=17, sport=53, dport=5353, flags="ports,fragment", ip_bytes=28)
frame("ipv4_fragment_later", eth(0x0800, ip4(17, TAIL, frag=0x00B9)), "later fragment", V4, protocol=17, sport=0, dport=0, flags="fragment,later_fragment", ip_bytes=36)
frame("ipv4_length_zero", eth(0x0800, ip4(6, t, total=0)), "segmentation offload on capture", V4)
frame("ipv4_padding", eth(0x0800, ip4(17, udp(7, 9)), bytes(18)), "padded to 60 bytes", V4, protocol=17, sport=7, dport=9, ip_bytes=28)
frame("ipv4_ah", eth(0x0800, ip4(51, ah(6, 4), t)), "an authentication header behind IPv4", V4, ip_bytes=64)
frame("ipv4_proto_60", eth(0x0800, ip4(60, eh(6, plain(3, 14)), t)), "destination options mean nothing behind IPv4", V4, protocol=60, sport=0, dport=0, flags="-", ip_bytes=48)
frame("ipv4_ihl_4", eth(0x0800, bytes([0x44]) + ip4(6, t)[1:]), "an IPv4 header shorter than it can be", NOTHING, verdict="malformed")
frame("ipv4_total_19", eth(0x0800, ip4(6, t, total=19)), "a total length below the header's", NOTHING, verdict="malformed")
frame("ipv4_version_6", eth(0x0800, inner), "IPv6 under IPv4's ethertype", NOTHING, verdict="malformed")
frame("ipv6_version_4", eth(0x86DD, ip4(6, t), TAIL), "IPv4 under IPv6's ethertype", NOTHING, verdict="malformed")

# --- tunnels ---
mpls = lambda label, s: struct.pack(">I", label << 12 | s << 8 | 64)
gre = lambda kind, flags=0: struct.pack(">HH", flags, kind) + bytes(4 * bin(flags & 0xB000).count("1"))
vxlan = lambda vni: struct.pack(">BBHI", 8, 0, 0, vni << 8)
geneve = lambda vni, kind, options=b"": struct.pack(">BBHI", len(options) // 4, 0, kind, vni << 8) + options
IP_IP, GRE = dict(tunnel="ip-in-ip"), dict(tunnel="gre")
frame("mpls_x2", eth(0x8847, mpls(16001, 0), mpls(2, 1), inner), "two labels, the last is explicit null", LABEL_CMS, IP60, mpls=2)
frame("mpls_x8", eth(0x8848, *[mpls(i + 16, 0) for i in range(7)], mpls(99, 1), ip4(6, t)), "eight labels above IPv4", V4, mpls=8, ip_bytes=40)
frame("mpls_x9", eth(0x8847, *[mpls(i + 16, 0) for i in range(8)], mpls(99, 1), inner), "nine", NOTHING, verdict="chain", mpls=8)
frame("mpls_pseudowire", eth(0x8847, mpls(17, 1), bytes(4), eth(0x8100, tag(5, 0x86DD), inner)), "a control word, then Ethernet", LABEL_CMS, IP60, mpls=1, vlans="5")
frame("mpls_other", eth(0x8847, mpls(17, 1), bytes([0x10, 0, 0, 0]), TAIL), "an associated channel: no IP", NOTHING, verdict="not_ip", mpls=1)
frame("gre", eth(0x0800, ip4(47, gre(0x86DD), inner)), "GRE over IPv4", LABEL_CMS, IP60, GRE)
frame("gre_key_sequence", eth(0x0800, ip4(47, gre(0x86DD, 0xB000), inner)), "checksum, key and sequence number", LABEL_CMS, IP60, GRE)
frame("gre_ethernet", eth(0x86DD, ip6(CHANCE, 47, gre(0x6558, 0x2000), eth(0x8100, tag(9, 0x86DD), inner), src=C6, dst=D6)), "Ethernet in GRE over IPv6: the inner label is the tag",
      LABEL_CMS, IP60, GRE, vlans="9")
frame("gre_mpls", eth(0x0800, ip4(47, gre(0x8847), mpls(77, 1), inner)), "MPLS in GRE", LABEL_CMS, IP60, GRE, mpls=1)
frame("gre_pptp", eth(0x0800, ip4(47, struct.pack(">HHHH", 0x3001, 0x880B, 4, 1), TAIL)), "PPTP's version of GRE is not opened", V4, protocol=47, sport=0, dport=0, flags="-",
      ip_bytes=20 + 8 + 16)
frame("gre_keepalive", eth(0x0800, ip4(47, gre(0))), "GRE with nothing inside", V4, protocol=47, sport=0, dport=0, flags="-", ip_bytes=24)
frame("erspan_1", eth(0x0800, ip4(47, gre(0x88BE), eth(0x86DD, inner))), "ERSPAN type I has no header of its own", LABEL_CMS, IP60, tunnel="erspan")
frame("erspan_2", eth(0x0800, ip4(47, gre(0x88BE, 0x1000), struct.pack(">HHI", 0x1007, 0x0001, 0), eth(0x8100, tag(3, 0x86DD), inner))), "ERSPAN type II has eight bytes", LABEL_CMS,
      IP60, tunnel="erspan", vlans="3")
frame("vxlan", eth(0x0800, ip4(17, udp(50000, 4789, vxlan(100), eth(0x86DD, inner)))), "VXLAN over IPv4", LABEL_CMS, IP60, tunnel="vxlan", vni=100)
frame("vxlan_ipv6", eth(0x86DD, ip6(ATLAS, 17, udp(50000, 4789, vxlan(70000), eth(0x86DD, ip6(0, 60, eh(6, plain(3, 14)), t))), src=C6, dst=D6)),
      "VXLAN over a tagged IPv6: the inner option is the tag", DO_CMS, tunnel="vxlan", vni=70000, ip_bytes=68)
frame("vxlan_arp", eth(0x86DD, ip6(ATLAS, 17, udp(50000, 4789, vxlan(5), eth(0x0806, bytes(28))), src=C6, dst=D6)), "ARP inside: the outer packet is all there is", label=ATLAS,
      carrier="label", exp=2, act=9, grade="registered", protocol=17, sport=50000, dport=4789, tunnel="vxlan", vni=5, ip_bytes=40 + 8 + 8 + 42)
frame("vxlan_fragment", eth(0x0800, ip4(17, udp(50000, 4789, vxlan(7), eth(0x86DD, ip6(ATLAS, 44, frag(6, 181, 0), TAIL))))),
      "a later fragment inside: the outer ports are not its ports", label=ATLAS, carrier="label", exp=2, act=9, grade="registered", sport=0, dport=0,
      flags="fragment,later_fragment", tunnel="vxlan", vni=7, ip_bytes=64)
frame("vxlan_not", eth(0x0800, ip4(17, udp(50000, 4789, TAIL))), "something else on VXLAN's port", V4, protocol=17, sport=50000, dport=4789, ip_bytes=44)
frame("geneve", eth(0x0800, ip4(17, udp(50000, 6081, geneve(42, 0x6558, bytes([1, 2, 3, 1]) + bytes(4)), eth(0x86DD, inner)))), "Geneve with eight bytes of options", LABEL_CMS, IP60,
      tunnel="geneve", vni=42)
frame("geneve_ip", eth(0x0800, ip4(17, udp(50000, 6081, geneve(42, 0x86DD), inner))), "Geneve with IPv6 right inside", LABEL_CMS, IP60, tunnel="geneve", vni=42)
frame("6in4", eth(0x0800, ip4(41, inner)), "IPv6 in IPv4", LABEL_CMS, IP60, IP_IP)
frame("6in6", eth(0x86DD, ip6(CHANCE, 41, inner, src=C6, dst=D6)), "IPv6 in IPv6, the outer label is chance", LABEL_CMS, IP60, IP_IP)
frame("6in6_both", eth(0x86DD, ip6(ATLAS, 41, inner, src=C6, dst=D6)), "both labels are registered: the inner one is the tag", LABEL_CMS, IP60, IP_IP)
frame("6in6_outer_option", eth(0x86DD, ip6(ATLAS, 60, eh(41, plain(2, 9)), ip6(0, 6, t), src=C6, dst=D6)), "the inner packet has no tag, so there is none", IP60, IP_IP)
frame("4in6", eth(0x86DD, ip6(CMS_E, 4, ip4(6, t), src=C6, dst=D6)), "no inner IPv6: the outer label is the tag", V4, LABEL_CMS, IP_IP, flags="ports,outer_tag", ip_bytes=40)
frame("4in6_option", eth(0x86DD, ip6(0, 60, eh(4, plain(2, 9)), ip4(6, t), src=C6, dst=D6)), "likewise an outer option", V4, DO_ATLAS, IP_IP, flags="ports,outer_tag", ip_bytes=40)
frame("4in4", eth(0x0800, ip4(4, ip4(6, t))), "IPv4 in IPv4", V4, IP_IP, ip_bytes=40)
frame("6in4in6", eth(0x86DD, ip6(ATLAS, 4, ip4(41, inner), src=C6, dst=D6)), "two levels: the innermost IPv6 counts", LABEL_CMS, IP60, IP_IP)
four = lambda n, x: ip4(4, four(n - 1, x)) if n > 1 else ip4(41, x)
frame("tunnels_x4", eth(0x0800, four(4, inner)), "four levels", LABEL_CMS, IP60, IP_IP)
frame("tunnels_x5", eth(0x0800, four(5, inner)), "five", V4, IP_IP, verdict="chain", protocol=0, sport=0, dport=0, flags="-", ip_bytes=80)
frame("6in4_version", eth(0x0800, ip4(41, ip4(6, t), TAIL)), "the inner header is not what it is said to be: the outer packet still counts", V4, protocol=0, sport=0, dport=0, flags="malformed_eh",
      tunnel="ip-in-ip", ip_bytes=76)
frame("6in4_cut_by_length", eth(0x0800, ip4(41, inner, total=40)), "the outer packet ends inside the inner header and still counts", V4, protocol=0, sport=0, dport=0, flags="malformed_eh",
      tunnel="ip-in-ip", ip_bytes=40)

# --- no IP ---
frame("arp", eth(0x0806, bytes(28)), "ARP", NOTHING, verdict="not_ip")
frame("llc", eth(38, bytes([0x42, 0x42, 3]) + bytes(35)), "a length where the ethertype stands: spanning tree", NOTHING, verdict="not_ip")
frame("lldp_vlan", eth(0x8100, tag(1, 0x88CC), TAIL), "LLDP behind a VLAN tag", NOTHING, verdict="not_ip", vlans="1")

# --- cut short by the capture ---
long_do = eth(0x86DD, ip6(CHANCE, 60, eh(6, plain(3, 14)), t))
frame("cut_in_do", long_do[:58], "cut inside the option: no tag, the label remains", LABEL_CHANCE, protocol=0, sport=0, dport=0, flags="truncated", ip_bytes=68)
frame("cut_behind_do", long_do[:62], "cut behind the option: the tag is whole", DO_CMS, label=CHANCE, sport=0, dport=0, flags="truncated", ip_bytes=68)
frame("cut_behind_ports", long_do[:66], "cut behind the ports", DO_CMS, label=CHANCE, ip_bytes=68)
frame("cut_in_ipv6", long_do[:53], "one byte short of the IPv6 header", NOTHING, verdict="short")
frame("cut_in_tunnel", eth(0x86DD, ip6(ATLAS, 41, inner, src=C6, dst=D6))[:80], "cut inside the inner header: the outer packet counts, its label is not the tag", label=0,
      protocol=0, sport=0, dport=0, flags="truncated", tunnel="ip-in-ip", ip_bytes=100)
frame("vxlan_no_ip_inside", eth(0x0800, ip4(17, udp(50000, 4789, vxlan(9), eth(0x86DD, bytes(40))))), "what calls itself IPv6 inside has no version: the outer packet counts", V4,
      protocol=17, sport=50000, dport=4789, flags="ports,malformed_eh", tunnel="vxlan", ip_bytes=20 + 8 + 8 + 14 + 40, vni=9)

# --- other link layers ---
frame("raw_ipv6", inner, "raw IP", LABEL_CMS, IP60, link="ip")
frame("raw_ipv4", ip4(6, t), "raw IP", V4, link="ip", ip_bytes=40)
frame("raw_other", b"\x50" + bytes(40), "a first nibble that is neither 4 nor 6", NOTHING, link="ip", verdict="not_ip")
sll = lambda kind: struct.pack(">HHH8sH", 4, 1, 6, MAC[:6] + b"\0\0", kind)
frame("sll", sll(0x86DD) + inner, "Linux cooked capture v1", LABEL_CMS, IP60, link="sll")
frame("sll_vlan", sll(0x8100) + tag(12, 0x86DD) + inner, "with a VLAN tag", LABEL_CMS, IP60, link="sll", vlans="12")
frame("sll_netlink", sll(4) + TAIL, "a protocol that is no ethertype", NOTHING, link="sll", verdict="not_ip")
frame("sll2", struct.pack(">HHIHBB8s", 0x86DD, 0, 2, 1, 4, 6, MAC[:6] + b"\0\0") + inner, "Linux cooked capture v2", LABEL_CMS, IP60, link="sll2")
frame("null_little", struct.pack("<I", 30) + inner, "BSD loopback, little endian, macOS' number for IPv6", LABEL_CMS, IP60, link="null")
frame("null_big", struct.pack(">I", 2) + ip4(6, t), "BSD loopback, big endian, IPv4", V4, link="null", ip_bytes=40)
frame("ppp", bytes.fromhex("0057") + inner, "PPP", LABEL_CMS, IP60, link="ppp")
frame("ppp_hdlc", bytes.fromhex("ff030021") + ip4(6, t), "PPP with address and control", V4, link="ppp", ip_bytes=40)
frame("ppp_lcp", bytes.fromhex("c021") + TAIL, "PPP talking to itself", NOTHING, link="ppp", verdict="not_ip")
frame("mpls_link", mpls(16, 1) + inner, "sFlow's header protocol 13", LABEL_CMS, IP60, link="mpls", mpls=1)
frame("pppoe", eth(0x8864, struct.pack(">BBHH", 0x11, 0, 5, 2 + len(inner)), bytes.fromhex("0057"), inner), "PPPoE", LABEL_CMS, IP60)
frame("pppoe_vlan_ipv4", eth(0x8100, tag(35, 0x8864), struct.pack(">BBHH", 0x11, 0, 5, 42), bytes.fromhex("0021"), ip4(6, t)), "PPPoE behind a VLAN tag", V4, vlans="35",
      ip_bytes=40)

assert len({r["name"] for r in rows}) == len(rows)
print("\t".join(COLUMNS))
for r in rows:
    print("\t".join(str(r[c]) for c in COLUMNS))

if len(sys.argv) > 1:
    links = ["", "ethernet", "ip", "mpls", "ppp", "sll", "sll2", "null"]
    for r in rows:
        with open(os.path.join(sys.argv[1], r["name"]), "wb") as f:
            f.write(bytes([links.index(r["link"]), 200]) + bytes.fromhex(r["hex"]))
