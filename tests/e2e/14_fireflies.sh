#!/bin/sh
# Fireflies of five senders' software through a running observer: what the database holds at the end is
# what the truth says, tag by tag, to the byte.
. tests/e2e/lib.sh
scitag="$BIN/scitag"
if [ "$(id -u)" -ne 0 ]; then
	skip "fireflies: needs root for a namespace"
	finish
fi
ns="stff$$"
ip netns add "$ns" && namespaces="$namespaces $ns"
ip -n "$ns" link set lo up
cat >"$work/observer.yaml" <<END
firefly: {listen: ["[::1]:10514"]}
http: {listen: "127.0.0.1:10580"}
database: {url: "sqlite:$work/observer.db"}
registry: {url: "", cache: ""}
END
start "$work/observer.log" ip netns exec "$ns" "$BIN/scitag-observer" --conf "$work/observer.yaml"
observer=$started
api() { ip netns exec "$ns" curl -fs "http://127.0.0.1:10580/api/v1/$1"; }
tries=0
until api sources >/dev/null 2>&1 || [ $tries -ge 100 ]; do
	tries=$((tries + 1))
	sleep 0.1
done
"$scitag" gen firefly --seed 11 --flows 3000 --out "$work/f.pcap" --truth "$work/f.json"
ip netns exec "$ns" "$scitag" replay "$work/f.pcap" --to '[::1]:10514' --rate 4000 2>"$work/replay.log"
same "replay: exit 0" 0 $?
sleep 2
api sources >"$work/sources.json"
same "received, accepted, rejected as sent" \
	"$(jq -c '[.datagrams, .accepted, .rejected.no_json]' "$work/f.json")" \
	"$(jq -c '.sources[] | select(.kind == "firefly_input") | [.received, .accepted, .rejected.no_json]' "$work/sources.json")"
same "received = accepted + rejected + dropped" 0 \
	"$(jq '.sources[] | select(.kind == "firefly_input") | .received - .accepted - ([.rejected[]] | add) - ([.dropped[]] | add)' "$work/sources.json")"
for producer in flowd flowd-go xrootd dcache scitag-marker; do
	n=$(jq ".producers.\"$producer\" | .starts + .ongoings + .ends" "$work/f.json")
	check "$producer is known by its dialect: $n" jq -e ".sources[] | select(.kind == \"firefly_input\") | .detail | test(\"[;,] $producer $n(,|$)\")" "$work/sources.json"
done
kill "$observer"
wait "$observer"
same "the observer ends in good order" 0 $?
same "the database holds every claim, by tag" \
	"$(jq -r '.tags | sort_by(.experiment_id, .activity_id)[] | "\(.experiment_id)|\(.activity_id)|\(.starts)|\(.ongoings)|\(.ends)|\(.bytes)"' "$work/f.json")" \
	"$(sqlite3 "$work/observer.db" 'SELECT experiment, activity, SUM(starts), SUM(ongoings), SUM(ends), SUM(end_bytes) FROM claims_1m GROUP BY 1, 2 ORDER BY 1, 2')"
same "and by application" \
	"$(jq -r '.applications | to_entries | sort_by(.key)[] | "\(.key)|\(.value.starts)|\(.value.ends)|\(.value.bytes)"' "$work/f.json")" \
	"$(sqlite3 "$work/observer.db" 'SELECT application, SUM(starts), SUM(ends), SUM(end_bytes) FROM claims_1m GROUP BY 1 ORDER BY 1')"
# as they flowed: those of the ENDs, and of flows without one what they said on the way
check "laid over their flows' lives no byte is lost" test "$(sqlite3 "$work/observer.db" 'SELECT SUM(bytes) >= SUM(end_bytes) AND SUM(bytes) < 1.01 * SUM(end_bytes) FROM claims_1m')" = 1
finish
