#!/bin/sh
# The same frames through libpcap, the tap and AF_XDP, live over veth, and through scitag read: the same totals per
# tag to the byte, equal to what the generator meant and to what the table of vectors says.
. tests/e2e/lib.sh
need_root
scitag="$BIN/scitag"
MODES="pcap xdp afxdp auto pass"
namespace o
node=$ns
namespace g
wire=$ns
for mode in $MODES; do # interface of the observer, and the end where we send
	ip -n "$node" link add name "$mode" type veth peer name to_$mode netns "$wire"
	for pair in "$node $mode" "$wire to_$mode"; do
		set -- $pair
		in_ns "$1" sh -c "echo 1 >/proc/sys/net/ipv6/conf/$2/disable_ipv6"
		ip -n "$1" link set dev "$2" up
	done
done
ip -n "$node" address add 192.0.2.1/24 dev pass # no mirror port, whatever the configuration says
url=http://127.0.0.1:10580
get() { in_ns "$node" curl -gsf "$url$1"; }
cat >"$work/o.yaml" <<'YAML'
registry: {refresh: 0, cache: ""}
site: {prefixes: ["2001:db8:1::/48", "192.0.2.0/24"]}
capture: {mirror: true}
interfaces: ["pcap:pcap", "xdp:xdp", "afxdp:afxdp", auto, "pass:xdp"]
YAML
observe() { # observe DATABASE
	start "$work/observer.log" nsenter --net=/run/netns/"$node" "$BIN/scitag-observer" \
		--db "sqlite:$work/$1.db" --conf "$work/o.yaml"
	observer=$started
	wait_for 10 get /readyz || {
		not_ok "the observer is ready within 10 s"
		sed 's/^/  # /' "$work/observer.log"
		finish
	}
}
send() { # send FILE RATE: into every interface, one after the other
	for mode in $MODES; do
		nsenter --net=/run/netns/"$wire" "$scitag" replay "$1" -i "to_$mode" --rate "$2" 2>>"$work/replay.log" ||
			not_ok "replay into $mode: $(tail -n 1 "$work/replay.log")"
	done
	sleep 2.5
}
source_of() { get /api/v1/sources | jq -c ".sources[] | select(.name == \"$1\") | $2"; }
top() { # top INTERFACE GROUPS FILTER
	get "/api/v1/top?from=-1h&limit=2000&group=$2&filter=$(printf 'source=%s%s' "$1" "${3:+ and $3}" | jq -sRr @uri)" |
		jq -S -c '[.rows[] | select(.rest | not) | [.key, .packets, .bytes]] | sort'
}
balance() {
	get /api/v1/sources | jq -r '.sources[]
		| select(.received != .accepted + ([.rejected[]] | add // 0) + ([.dropped[]] | add // 0)
			or ([.dropped[]] | add) > 0) | "\(.name): \(.received) \(.dropped)"' >"$work/unbalanced"
	same "$1: received = accepted + rejected + dropped, nothing dropped" "" "$(cat "$work/unbalanced")"
}

# --- traffic of a rehearsal ----------------------------------------------------------------------------
"$scitag" gen pcap --seed 5 --packets 20000 --out "$work/gen.pcap" --truth "$work/gen.json" 2>/dev/null
observe gen
check "one and two VLAN tags are among the frames" sh -c "tcpdump -nr '$work/gen.pcap' vlan 2>/dev/null | grep -q ."
send "$work/gen.pcap" 20000
meant=$(jq -c '($known | map(.[0:3])) as $keys
	| [(.tags + (.by_chance // []))[] | [.experiment_id, .activity_id, .carrier, .packets, .bytes]]
	| group_by(.[0:3]) | map(.[0][0:3] + [(map(.[3]) | add), (map(.[4]) | add)])
	| map(select(.[0:3] as $k | $keys | index([$k])))' \
	--argjson known "$(jq -c '[.tags[] | [.experiment_id, .activity_id, .carrier]]' "$work/gen.json")" "$work/gen.json")
read_total=$("$scitag" read --json "$work/gen.pcap" 2>/dev/null | jq -c '[.packets, .bytes]')
for mode in $MODES; do
	same "$mode: all packets and bytes" "$(jq -c '[.packets, .bytes]' "$work/gen.json")" \
		"$(source_of "$mode" '[.received, .bytes]')"
	same "$mode: every tag to the byte" "$meant" "$(get "/api/v1/top?from=-1h&limit=2000&group=experiment,activity,carrier&filter=source%3D$mode" |
		jq -c --argjson meant "$meant" '($meant | map(.[0:3])) as $keys | [.rows[] | select(.rest | not)
			| [.key.experiment_id, .key.activity_id, .key.carrier, .packets, .bytes]
			| select(.[0:3] as $k | $keys | index([$k]))] | sort')"
	[ "$mode" = pcap ] && continue
	same "$mode: every carrier, grade, family and direction as libpcap has it" \
		"$(top pcap carrier,grade,family,direction)" "$(top "$mode" carrier,grade,family,direction)"
done
same "scitag read finds the same total" "$(jq -c '[.packets, .bytes]' "$work/gen.json")" "$read_total"
balance "rehearsal"
check "the tap says that it counts in the driver" sh -c "echo '$(source_of xdp .detail)' | grep -q 'native XDP, counting and dropping'"
check "AF_XDP says that it copies" sh -c "echo '$(source_of afxdp .detail)' | grep -q 'AF_XDP, copied'"
check "auto takes the tap" sh -c "echo '$(source_of auto .detail)' | grep -q 'native XDP, counting'"
check "with addresses frames are passed on" sh -c "echo '$(source_of pass .detail)' | grep -q 'counting and passing on'"

# --- an orderly stop loses nothing, a restart counts nothing twice ---------------------------------------
for mode in $MODES; do
	nsenter --net=/run/netns/"$wire" "$scitag" replay "$work/gen.pcap" -i "to_$mode" --rate 50000 2>>"$work/replay.log"
done
stop "$observer"
same "an orderly stop ends with 0" 0 "$stopped"
observe gen
twice=$(jq -c '[2 * .packets, 2 * .bytes]' "$work/gen.json")
for mode in $MODES; do
	same "$mode: after an immediate stop and a restart, twice all" "$twice" \
		"$(top "$mode" family | jq -c '[([.[][1]] | add), ([.[][2]] | add)]')"
done
stop "$observer"

# --- the vectors of the unit tests, as often as their number modulo 3 says, and what their table says -----
/usr/bin/python3 - "$work" <<'PY'
import collections, csv, json, struct, sys
work = sys.argv[1]
def pcap(name, frames):
    with open("%s/%s.pcap" % (work, name), "wb") as f:
        f.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for i, b in enumerate(frames):
            f.write(struct.pack("<IIII", 1700000000, i, len(b), len(b)) + b)
frames, cut, meant, verdicts = [], [], collections.Counter(), collections.Counter()
for i, v in enumerate(csv.DictReader(open("tests/vectors/packets.tsv"), delimiter="\t", quoting=csv.QUOTE_NONE)):
    b = bytes.fromhex(v["hex"])
    if v["link"] != "ethernet" or len(b) < 15:
        continue
    times = 1 + i % 3
    frames += [b] * times
    cut += [b[:n] for n in range(15, len(b))]
    verdicts[v["verdict"]] += times
    if v["verdict"] == "ok":
        key = (v["carrier"] if v["carrier"] != "-" else "none", v["grade"], int(v["family"]))
        meant[key] += times * len(b)
pcap("vectors", frames)
pcap("cut", cut)
json.dump({"n": len(frames), "verdicts": verdicts,
           "ok": sorted([*k, n] for k, n in meant.items())}, open(work + "/vectors.json", "w"))
PY
by_kind() { # by_kind INTERFACE: bytes by carrier, grade and family, of what is IP
	get "/api/v1/top?from=-1h&limit=2000&group=carrier,grade,family&filter=source%3D$1" |
		jq -c '[.rows[] | select(.key.family > 0) | [.key.carrier, .key.grade, .key.family, .bytes]] | sort'
}
observe vectors
send "$work/vectors.pcap" 20000
for mode in $MODES; do
	same "$mode: vectors by carrier, grade and family" "$(jq -c .ok "$work/vectors.json")" "$(by_kind "$mode")"
	same "$mode: vectors refused by reason" \
		"$(jq -c '.verdicts | [.short // 0, .malformed // 0, .chain // 0]' "$work/vectors.json")" \
		"$(source_of "$mode" '[.rejected.short, .rejected.malformed, .rejected.chain]')"
done
stop "$observer"

# --- every shorter frame of every vector: what has no whole header is refused everywhere alike. libpcap is not asked: the
# kernel drops a frame that ends in its VLAN tag before it gets there.
MODES="xdp afxdp"
observe cut
send "$work/cut.pcap" 20000
for mode in $MODES; do
	"$scitag" read --json "$work/cut.pcap" 2>/dev/null | jq -c '[.packets, .bytes]' >"$work/read"
	same "$mode: all shorter frames arrived" "$(cat "$work/read")" "$(source_of "$mode" '[.received, .bytes]')"
done
same "shorter frames: the tap and AF_XDP tell every kind alike" "$(top afxdp carrier,grade,family,direction)" \
	"$(top xdp carrier,grade,family,direction)"
same "shorter frames: and refuse alike" "$(source_of afxdp .rejected)" "$(source_of xdp .rejected)"
balance "shorter frames"
stop "$observer"
finish
