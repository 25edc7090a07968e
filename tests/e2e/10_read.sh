#!/bin/sh
# scitag gen's truth against scitag read, file by file; formats, damage, filters and live reading.
. tests/e2e/lib.sh
scitag="$BIN/scitag"

# tags FILE: one comparable line a tag, whatever the grade; random labels count as what they decode to
tags() {
	jq -c '[(.tags + (.by_chance // []))[] | {e: .experiment_id, a: .activity_id, c: .carrier, p: .packets, b: .bytes, i: .ip_bytes}]
		| group_by([.e, .a, .c]) | map({e: .[0].e, a: .[0].a, c: .[0].c,
			p: (map(.p) | add), b: (map(.b) | add), i: (map(.i) | add)})' "$1"
}

for seed in 1 2 3; do
	for kind in pcap sflow; do
		"$scitag" gen $kind --seed $seed --agents 3 --out "$work/$kind.pcap" --truth "$work/truth.json" 2>/dev/null
		"$scitag" read --json "$work/$kind.pcap" >"$work/read.json"
		same "gen $kind, seed $seed: every tag to the byte" "$(tags "$work/truth.json")" "$(tags "$work/read.json")"
		same "gen $kind, seed $seed: totals and untagged" \
			"$(jq -c '[.packets, .bytes, .ip_bytes, .untagged.ipv4.bytes, .untagged.ipv6_label_zero.bytes, .untagged.ipv6_label_zero.packets]' "$work/truth.json")" \
			"$(jq -c '[.packets, .bytes, .ip_bytes, .untagged.ipv4.bytes, .untagged.ipv6_label_zero.bytes, .untagged.ipv6_label_zero.packets]' "$work/read.json")"
		same "gen $kind, seed $seed: packets = tagged + untagged + rejected" \
			"$(jq '.packets' "$work/read.json")" \
			"$(jq '([.tags[].packets] | add) + ([.untagged[].packets] | add) + ([.rejected[]] | add)' "$work/read.json")"
	done
done

"$scitag" gen firefly --seed 4 --out "$work/ff.pcap" --truth "$work/truth.json" 2>/dev/null
"$scitag" read --json "$work/ff.pcap" >"$work/read.json"
same "gen firefly: received = accepted + rejected" "$(jq '.fireflies.received' "$work/read.json")" \
	"$(jq '.fireflies | .accepted + ([.rejected[]] | add)' "$work/read.json")"
same "gen firefly: as many as the truth says" "$(jq '.datagrams' "$work/truth.json")" \
	"$(jq '.fireflies.received' "$work/read.json")"

# an independent reader: labels as tshark sees them, in the pcap of the last seed
"$scitag" gen pcap --seed 5 --packets 20000 --out "$work/p.pcap" 2>/dev/null
if command -v tshark >/dev/null; then
	tshark -r "$work/p.pcap" -Y 'ipv6.flow != 0' -T fields -E occurrence=f -e ipv6.flow -e frame.len 2>/dev/null |
		python3 -c '
import sys, collections
packets = collections.Counter(); octets = collections.Counter()
for line in sys.stdin:
    label, length = line.split()
    packets[int(label, 0)] += 1; octets[int(label, 0)] += int(length)
for label in sorted(packets): print(label, packets[label], octets[label])' >"$work/tshark.txt"
	"$scitag" read --packets --json "$work/p.pcap" | jq -r 'select(.flow_label > 0) | "\(.flow_label) \(.bytes)"' |
		python3 -c '
import sys, collections
packets = collections.Counter(); octets = collections.Counter()
for line in sys.stdin:
    label, length = map(int, line.split())
    packets[label] += 1; octets[label] += length
for label in sorted(packets): print(label, packets[label], octets[label])' >"$work/ours.txt"
	check "every label's packets and bytes as tshark counts them ($(wc -l <"$work/tshark.txt") labels)" cmp "$work/tshark.txt" "$work/ours.txt"
	check "there are labels to compare" test "$(wc -l <"$work/tshark.txt")" -gt 100
	tshark -r "$work/p.pcap" -F pcapng -w "$work/p.pcapng" 2>/dev/null
	"$scitag" read --json "$work/p.pcap" >"$work/a.json"
	"$scitag" read --json "$work/p.pcapng" >"$work/b.json"
	check "pcapng reads as pcap does" cmp "$work/a.json" "$work/b.json"
else
	skip "labels against tshark: it is not installed"
fi
"$scitag" read --json - <"$work/p.pcap" >"$work/b.json"
"$scitag" read --json "$work/p.pcap" >"$work/a.json"
check "standard input reads as a file does" cmp "$work/a.json" "$work/b.json"

# damage: what was readable, where it ends, exit 5
size=$(stat -c %s "$work/p.pcap")
head -c $((size - 7)) "$work/p.pcap" >"$work/cut.pcap"
exits "a capture that was cut off" 5 "$scitag" read --json "$work/cut.pcap"
check "its damage has a place and a reason" sh -c "grep -q 'damaged at byte' '$work/exits.out'"
"$scitag" read --json "$work/cut.pcap" 2>/dev/null >"$work/cut.json"
same "and all packets but the last are there" 19999 "$(jq .packets "$work/cut.json")"
exits "a file that is no capture" 1 "$scitag" read README.md
exits "a file that is not there" 1 "$scitag" read "$work/nosuch.pcap"
exits "a misspelt option" 2 "$scitag" read --jsn "$work/p.pcap"
exits "a filter that does not parse" 2 "$scitag" read --filter 'experiment=' "$work/p.pcap"

# filter and grouping agree with the whole
same "a filter keeps what fits" \
	"$(jq '[.tags[] | select(.experiment == "cms" and .carrier == "label") | .bytes] | add' "$work/a.json")" \
	"$("$scitag" read --json --filter 'experiment=cms and carrier=label' "$work/p.pcap" | jq '[.tags[].bytes] | add')"
same "--by experiment sums its activities" \
	"$(jq '[.tags[] | select(.experiment == "atlas") | .bytes] | add' "$work/a.json")" \
	"$("$scitag" read --json --by experiment "$work/p.pcap" | jq '.tags[] | select(.experiment == "atlas") | .bytes')"
same "--csv has a line a tag" "$(($(jq '.tags | length' "$work/a.json") + 1))" "$("$scitag" read --csv "$work/p.pcap" | wc -l)"
same "--packets has a line a packet" 20000 "$("$scitag" read --packets "$work/p.pcap" | wc -l)"
check "works without root" setpriv --reuid=65534 --regid=65534 --clear-groups "$scitag" read - <"$work/p.pcap"
finish
