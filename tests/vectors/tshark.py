#!/usr/bin/python3
"""Holds packets.tsv against tshark: innermost label, traffic class, ports, VLAN ids, VNI and the tag options
that it shows. Prints one "ok - ..." or "not ok - ..." a link layer. Usage: tshark.py DIRECTORY-FOR-CAPTURES
"""
import csv, struct, subprocess, sys

LINKS = {"ethernet": 1, "ip": 101, "sll": 113, "sll2": 276, "null": 0, "ppp": 9}
FIELDS = """ipv6.flow ipv6.tclass ip.dsfield tcp.srcport tcp.dstport udp.srcport udp.dstport sctp.srcport sctp.dstport vlan.id
            ieee8021ad.id vxlan.vni geneve.vni ipv6.opt.type ipv6.opt.experimental""".split()
# where we read differently, and why
ELSEWHERE = {
    "vlan_x5": "five tags are too many for us",
    "headers_x17": "seventeen headers are too many for us",
    "mpls_x9": "nine labels are too many for us",
    "tunnels_x5": "five tunnels are too many for us",
    "do_other_types": "tshark shows every experimental type alike",
    "stray_hbh": "tshark reads options in a hop-by-hop header anywhere",
    "option_overrun": "tshark shows the value of a malformed option",
    "option_overrun_after_tag": "tshark shows the options before a malformed one and stops there",
    "option_no_length": "tshark shows the options before a malformed one",
    "ipv4_proto_60": "tshark reads destination options behind IPv4",
    "ipv4_version_6": "tshark believes the version, not the ethertype",
    "jumbo_too_small": "tshark stops at a payload length of 0",
    "length_zero": "tshark stops at a payload length of 0",
    "mobility_hip_shim6": "tshark stops behind a mobility header",
    "fragment_first": "tshark shows no ports of a fragment",
    "ipv4_fragment_first": "tshark shows no ports of a fragment",
    "6in6_outer_option": "tshark shows the outer packet's option too",
    "6in4_cut_by_length": "tshark shows parts of a cut header",
    "cut_in_ipv6": "tshark shows parts of a cut header",
    "cut_in_tunnel": "tshark shows parts of a cut header",
    "vxlan_fragment": "tshark shows the outer ports where the inner packet has none",
    "vxlan_not": "tshark takes every datagram to port 4789 for VXLAN",
}


def last(text):
    return text.split(",")[-1]


def found(line):
    f = dict(zip(FIELDS, line.split("\t")))
    tags = [v for v in f["ipv6.opt.experimental"].split(",") if len(v) == 6]
    ports = [(last(f[p + ".srcport"]), last(f[p + ".dstport"])) for p in ("tcp", "sctp", "udp") if f[p + ".srcport"]]
    return {
        "label": int(last(f["ipv6.flow"]) or "0", 16),
        "ports": ports[0] if ports else ("0", "0"),
        "tags": tags,
        "vni": int(last(f["vxlan.vni"]) or (f["geneve.vni"] and str(int(f["geneve.vni"], 16))) or "0"),
        "class": int(last(f["ipv6.tclass"]) or "0", 16) if f["ipv6.tclass"] else int(last(f["ip.dsfield"]) or "0", 16),
        "vlans": set((f["vlan.id"] + "," + f["ieee8021ad.id"]).strip(",").split(",")) - {""},
    }


def wanted(r):
    seen = [v[3:] for v in (r["hbh"], r["do"]) if v.startswith("1e")]
    return {
        "label": int(r["label"], 16),
        "ports": (r["sport"], r["dport"]),
        "tags": seen,
        "vni": int(r["vni"]),
        "class": int(r["tclass"], 16),
        "vlans": set(r["vlans"].split(",")) - {"-"},
    }


rows = list(csv.DictReader(open("tests/vectors/packets.tsv"), delimiter="\t", quoting=csv.QUOTE_NONE))
for link, dlt in LINKS.items():
    mine = [r for r in rows if r["link"] == link]
    path = "%s/%s.pcap" % (sys.argv[1], link)
    with open(path, "wb") as f:
        f.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, dlt))
        for r in mine:
            b = bytes.fromhex(r["hex"])
            f.write(struct.pack("<IIII", 1, 0, len(b), len(b)) + b)
    command = ["tshark", "-r", path, "-T", "fields"] + [a for f in FIELDS for a in ("-e", f)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")
    bad = 0
    for r, line in zip(mine, lines):
        if r["name"] in ELSEWHERE:
            continue
        want, got = wanted(r), found(line)
        # options: tshark shows all of a packet, we keep one of each header
        same = all(want[k] == got[k] for k in want if k != "tags") and set(want["tags"]) <= set(got["tags"])
        if r["carrier"] in ("label", "none"):
            same = same and not got["tags"]
        if not same:
            bad += 1
            print("# %s\n#   wanted %s\n#   tshark %s" % (r["name"], want, got))
    print("%s - tshark reads %d frames of link layer %s as we expect" % ("not ok" if bad else "ok", len(mine), link))
