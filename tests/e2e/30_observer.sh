#!/bin/sh
# The running observer against the generator's truth: a mirror port, sFlow and fireflies in, the HTTP
# API out, to the byte; across an orderly restart and a kill -9 in the middle.
. tests/e2e/lib.sh
need_root
scitag="$BIN/scitag"
namespace o
node=$ns
namespace g
wire=$ns
ip -n "$node" link add mirror0 type veth peer name out0 netns "$wire"
for pair in "$node mirror0" "$wire out0"; do
	set -- $pair
	in_ns "$1" sh -c "echo 1 >/proc/sys/net/ipv6/conf/$2/disable_ipv6"
	ip -n "$1" link set "$2" up
done
url=http://127.0.0.1:10580
get() { in_ns "$node" curl -gsf "$url$1"; }

observe() {
	start "$work/observer.log" nsenter --net=/run/netns/"$node" "$BIN/scitag-observer" -i mirror0:pcap \
		--sflow '[::1]:6343' --firefly '[::1]:10514' --db "sqlite:$work/o.db" \
		--conf "$work/o.yaml"
	observer=$started
	wait_for 10 get /readyz || {
		not_ok "the observer is ready within 10 s"
		sed 's/^/  # /' "$work/observer.log"
		finish
	}
}
cat >"$work/o.yaml" <<'EOF'
registry: {refresh: 0, cache: ""}
site: {prefixes: ["2001:db8:1::/48"]}
EOF
feed() { # feed SEED: one round of everything, at full speed; waits for the last second to be stored
	"$scitag" gen pcap --seed "$1" --packets 20000 --out "$work/$1.pcap" --truth "$work/$1.pcap.json" 2>/dev/null
	"$scitag" gen sflow --seed "$1" --agents 3 --packets 1000000 --out "$work/$1.sflow" --truth "$work/$1.sflow.json" 2>/dev/null
	"$scitag" gen firefly --seed "$1" --flows 500 --out "$work/$1.ff" --truth "$work/$1.ff.json" 2>/dev/null
	nsenter --net=/run/netns/"$wire" "$scitag" replay "$work/$1.pcap" -i out0 --rate 20000 2>>"$work/replay.log"
	nsenter --net=/run/netns/"$node" "$scitag" replay "$work/$1.sflow" --to '[::1]:6343' --rate 2000 2>>"$work/replay.log"
	nsenter --net=/run/netns/"$node" "$scitag" replay "$work/$1.ff" --to '[::1]:10514' --rate 2000 2>>"$work/replay.log"
	sleep 2.5
}
# truth KIND SEED...: every registered tag and carrier, then all bytes
truth() {
	kind=$1
	shift
	for seed in "$@"; do cat "$work/$seed.$kind.json"; done | jq -s -c '
		[.[].tags[] | {e: .experiment_id, a: .activity_id, c: .carrier, p: .packets, b: .bytes}]
		| group_by([.e, .a, .c]) | map([.[0].e, .[0].a, .[0].c, (map(.p) | add), (map(.b) | add)])'
}
chance() { # what random labels add to registered tags
	kind=$1
	shift
	for seed in "$@"; do cat "$work/$seed.$kind.json"; done | jq -s '[.[].by_chance[]? | .bytes] | add // 0'
}
total() {
	kind=$1
	shift
	for seed in "$@"; do cat "$work/$seed.$kind.json"; done | jq -s -c '[(map(.packets) | add), (map(.bytes) | add)]'
}
found() { # found FILTER: the same from the API; tags that the truth names
	get "/api/v1/top?from=-1h&group=experiment,activity,carrier&limit=2000&filter=$(printf %s "$1" | jq -sRr @uri)" |
		jq -c '[.rows[] | select(.rest | not) | select(.key.experiment_id > 0)
			| [.key.experiment_id, .key.activity_id, .key.carrier, .packets, .bytes]] | sort'
}
found_total() {
	get "/api/v1/top?from=-1h&group=family&filter=$(printf %s "$1" | jq -sRr @uri)" |
		jq -c '[([.rows[].packets] | add), ([.rows[].bytes] | add)]'
}
# expect TRUTH FOUND: every tag of the truth is found with the same numbers (labels may have chance on top)
compare() {
	python3 - "$1" "$2" <<'EOF'
import json, sys
truth = {tuple(t[:3]): t[3:] for t in json.loads(sys.argv[1])}
found = {tuple(t[:3]): t[3:] for t in json.loads(sys.argv[2])}
bad = [(k, v, found.get(k)) for k, v in truth.items() if found.get(k) != v]
for row in bad[:10]: print("tag %s: truth %s, found %s" % row)
sys.exit(1 if bad or not truth else 0)
EOF
}
# With the chance tags of the truth added to its marks, so that the two are equal to the byte.
merged() {
	kind=$1
	shift
	for seed in "$@"; do cat "$work/$seed.$kind.json"; done | jq -s -c --argjson known "$(truth "$kind" "$@")" '
		($known | map(.[0:3])) as $keys
		| [.[] | (.tags + (.by_chance // []))[] | {e: .experiment_id, a: .activity_id, c: .carrier, p: .packets, b: .bytes}]
		| group_by([.e, .a, .c]) | map([.[0].e, .[0].a, .[0].c, (map(.p) | add), (map(.b) | add)])
		| map(select(.[0:3] as $k | $keys | index([$k])))'
}
verify() { # verify WHEN SEED...
	when=$1
	shift
	check "$when: mirror port, every tag to the byte" compare "$(merged pcap "$@")" "$(found 'source=mirror0')"
	same "$when: mirror port, all packets and bytes" "$(total pcap "$@")" "$(found_total 'source=mirror0')"
	check "$when: sFlow, every scaled tag to the byte" compare "$(merged sflow "$@")" "$(found 'not source=mirror0')"
	same "$when: sFlow, all scaled packets and bytes" "$(total sflow "$@")" "$(found_total 'not source=mirror0')"
}
balance() { # received = accepted + rejected + dropped, for every input
	get /api/v1/sources | jq -r '.sources[]
		| select(.received != .accepted + ([.rejected[]] | add // 0) + ([.dropped[]] | add // 0))
		| "\(.name): \(.received) received"' >"$work/unbalanced"
	same "$1: received = accepted + rejected + dropped, every input" "" "$(cat "$work/unbalanced")"
	same "$1: nothing was dropped" 0 "$(get /api/v1/sources | jq '[.sources[].dropped[]] | add')"
}

observe
feed 1
verify "first round" 1
balance "first round"
same "fireflies: all accepted" "$(jq .accepted "$work/1.ff.json")" \
	"$(get /api/v1/sources | jq '.sources[] | select(.kind == "firefly_input") | .accepted')"
stop "$observer"
same "an orderly stop ends with 0" 0 "$stopped"
observe
verify "after a restart" 1
feed 2
verify "second round" 1 2
balance "second round"
stop "$observer" KILL
observe
verify "after kill -9" 1 2
feed 3
verify "third round" 1 2 3

# bad input is counted and harms nothing
printf 'garbage' | in_ns "$node" timeout 2 sh -c 'cat >/dev/udp/::1/6343' 2>/dev/null ||
	in_ns "$node" python3 -c '
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.sendto(b"garbage", ("::1", 6343)); s.sendto(b"garbage", ("::1", 10514))'
sleep 2
check "a malformed datagram is counted by reason" test "$(get /api/v1/sources |
	jq '[.sources[] | select(.kind == "sflow_input" or .kind == "firefly_input") | .rejected[]] | add')" -ge 1
verify "after bad input" 1 2 3
balance "after bad input"

kill -HUP "$observer"
sleep 1.5
check "SIGHUP reads the configuration again" grep -q 'configuration read again' "$work/observer.log"
echo 'nonsense: 1' >>"$work/o.yaml"
kill -HUP "$observer"
sleep 1.5
check "a broken one is refused and the old stays in force" grep -q 'old configuration stays' "$work/observer.log"
check "and the observer still answers" get /healthz

ip -n "$wire" link del out0
sleep 2.5
same "an interface that goes away is shown as down" false \
	"$(get /api/v1/sources | jq '.sources[] | select(.name == "mirror0") | .up')"
stop "$observer"
finish
