#!/bin/sh
# The running observer joins what a mirror port shows with the fireflies of the same flows: the API tells of each
# grade as many flows as the truth has, across a reload in the middle of it. Then the mirror is ignored.
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
get() { in_ns "$node" curl -gsf "http://127.0.0.1:10580/api/v1/$1"; }

# whose addresses they are: in CRIC's form, and the operator's own
cat >"$work/cric.json" <<'END'
{"SITE-B": {"name": "SITE-B", "latitude": 0, "longitude": 0, "rc_tier_level": 0, "country_code": "NL",
  "netroutes": {"R": {"netsite": "NET-B", "asn": 64500, "networks": {"ipv6": ["2001:db8::/32"]}}}}}
END
configure() { # configure RELAY [MORE]
	cat >"$work/o.yaml" <<END
interfaces: ["mirror0:pcap"]
firefly: {listen: ["[::1]:10514"], relays: ["$1"]}
http: {listen: "127.0.0.1:10580"}
registry: {url: "", cache: ""}
database: {url: "sqlite:$work/o.db"}
sites: {cric: "$work/cric.json", own: ["SITE-A=2001:db8:1::/48", "SITE-A=192.0.2.0/24"]}
${2:-}
END
}
reload() { # reload RELAY [MORE]
	told=$(grep -c "configuration read again" "$work/observer.log")
	configure "$@"
	kill -HUP "$observer"
	wait_for 5 sh -c "[ \$(grep -c 'configuration read again' '$work/observer.log') -gt $told ]"
}
configure 2001:db8::99
start "$work/observer.log" nsenter --net=/run/netns/"$node" "$BIN/scitag-observer" --conf "$work/o.yaml"
observer=$started
wait_for 10 get health || {
	not_ok "the observer answers within 10 s"
	sed 's/^/  # /' "$work/observer.log"
	finish
}
for kind in pcap firefly; do
	"$scitag" gen $kind --seed 5 --duration 2s --flows 300 --packets 20000 --out "$work/$kind" --truth "$work/$kind.json"
done
"$scitag" gen pcap --seed 6 --flows 100 --packets 5000 --out "$work/first" 2>"$work/gen.log"
# other flows, a reload that makes the announcer a relay, and then the flows and their fireflies
nsenter --net=/run/netns/"$wire" "$scitag" replay "$work/first" -i out0 --rate 20000 2>"$work/replay.log"
sleep 1.6
before=$(get health | jq '.join.flows')
reload ::1
same "a reload loses no flow" "$before" "$(get health | jq '.join.flows')"
nsenter --net=/run/netns/"$node" "$scitag" replay "$work/firefly" --to '[::1]:10514' --now 2>"$work/replay2.log" &
datagrams=$!
nsenter --net=/run/netns/"$wire" "$scitag" replay "$work/pcap" -i out0 2>"$work/replay.log"
wait "$datagrams"
sleep 1.6
get 'flows?limit=10000' >"$work/flows.json"
get agreement >"$work/agreement.json"
get sites >"$work/sites.json"
get health >"$work/health.json"
claimed=$(jq .claimed_flows "$work/firefly.json")
confirmed=$(jq '.claimed_flows - .unmarked_flows - .disagreeing_flows' "$work/firefly.json")

same "every flow of the wire is there once" $((before + $(jq .flows "$work/pcap.json"))) "$(jq .matching "$work/flows.json")"
same "all that was announced is joined" "$claimed" "$(jq '[.flows[] | select(.claim and .seen)] | length' "$work/flows.json")"
same "announced and marked alike: confirmed" "$confirmed" \
	"$(jq '[.flows[] | select(.claim and .grade == "confirmed")] | length' "$work/flows.json")"
# one label in 287 is registered by chance: some of what is announced only may disagree
same "announced otherwise, or announced only: disagree or claimed" $((claimed - confirmed)) \
	"$(jq '[.flows[] | select(.claim and (.grade == "claimed" or .grade == "disagree"))] | length' "$work/flows.json")"
same "a label that nobody announced is never above registered" 0 \
	"$(jq '[.flows[] | select((.claim | not) and .carrier == "label" and .grade != "registered" and .grade != "unregistered")] | length' "$work/flows.json")"
same "the agreement has them all" "[$confirmed,$claimed]" \
	"$(jq -c '[([.cells[] | select(.verdict == "same").flows] | add), ([.cells[].flows] | add)]' "$work/agreement.json")"
same "one sender, a relay since the reload, its claims joined" "[\"::1\",\"relay\",$claimed,$claimed]" \
	"$(jq -c '.senders[0] | [.sender, .provenance, .claims, .joined]' "$work/agreement.json")"
check "the operator's prefix wins, CRIC has the rest" jq -e '[.flows[] | select(.family == 6)]
	| length > 50 and all(.[]; [.src_site, .dst_site] - ["SITE-A", "SITE-B"] == [])
	and any(.[]; .src_site == "SITE-A") and any(.[]; .dst_site == "SITE-B")' "$work/flows.json"
check "a tier of 0 and a place at 0, 0 are told" jq -e '.sites[] | select(.name == "SITE-B")
	| .country == "NL" and .tier == 0 and .latitude == 0 and .longitude == 0' "$work/sites.json"
same "nothing was let go" '[0,0]' "$(jq -c '.join | [.flows_evicted, .claims_evicted]' "$work/health.json")"

# another point sees the same: this one is read, and in no total
total() { get 'top?from=-10m&group=source' | jq '[.rows[].bytes] | add'; }
before="$(jq .join.seen "$work/health.json") $(total)"
reload ::1 'points: {ignore: ["mirror*"]}'
nsenter --net=/run/netns/"$wire" "$scitag" replay "$work/pcap" -i out0 --rate 20000 2>"$work/replay.log"
sleep 1.6
get sources >"$work/sources.json"
check "an ignored point says so, and shows what it reads" jq -e '.sources[] | select(.name == "mirror0")
	| (.detail | contains("counted in no total (points.ignore)")) and .received >= 20000' "$work/sources.json"
same "none of it is joined or in a total" "$before" "$(get health | jq .join.seen) $(total)"
stop "$observer"
same "the observer ends in good order" 0 "$stopped"
[ "$failures" -gt 0 ] && sed 's/^/  # /' "$work/observer.log"
finish
