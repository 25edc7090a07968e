#!/bin/sh
# tail, top and query against a running observer that is fed known sFlow.
. tests/e2e/lib.sh
scitag="$BIN/scitag"
unset http_proxy https_proxy
free_udp=$(/usr/bin/python3 -c 'import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])')
start "$work/observer.log" "$BIN/scitag-observer" --http 127.0.0.1:0 --db "sqlite:$work/o.db" --sflow "127.0.0.1:$free_udp"
if ! wait_for 10 grep -q ' at http://' "$work/observer.log"; then
	not_ok "the observer starts"
	sed 's/^/  # /' "$work/observer.log"
	finish
fi
url=$(sed -n 's|.* at \(http://[^ ]*\).*|\1|p' "$work/observer.log" | head -n 1)
"$scitag" gen sflow --duration 5s --seed 7 --out "$work/s.pcap"
start "$work/replay.log" "$scitag" replay "$work/s.pcap" --to "127.0.0.1:$free_udp" --loop --duration 60s
wait_for 20 sh -c '[ "$("$0" top --url "$1" --group experiment --json | jq length)" -gt 3 ]' "$scitag" "$url"

same "top groups as it is told" '["bytes","error_bytes","grade","samples","share"]' \
	"$("$scitag" top --url "$url" --group grade --json | jq -c '.[0] | keys')"
same "top is sorted, and its shares make one" true "$("$scitag" top --url "$url" --group experiment,activity --limit 3 --json |
	jq '([.[:3][].bytes] | . == (sort | reverse)) and ([.[].share] | add | . > 0.9999 and . < 1.0001)')"
same "top filters" cms "$("$scitag" top --url "$url" --group experiment --filter 'experiment=cms' --csv | sed 1d | cut -d, -f2)"
check "top is a table for people" sh -c '"$0" top --url "$1" --group experiment,activity | head -n 1 | grep -qE "^experiment +activity +rate +share"' "$scitag" "$url"
check "without a dimension top shows flows" sh -c '"$0" top --url "$1" | head -n 1 | grep -qE "^ *rate +source +destination +proto +state +grade"' "$scitag" "$url"
same "ordered as asked" true "$("$scitag" query flows --url "$url" --by bytes --json |
	jq '[.flows[] | .bytes + .back.bytes] | length > 3 and . == (sort | reverse)')"
wait_for 20 sh -c '[ "$("$0" query flows --url "$1" --grade confirmed --json | jq .matching)" -gt 0 ]' "$scitag" "$url"
same "of the grades asked for" '["confirmed"]' "$("$scitag" query flows --url "$url" --grade confirmed --json | jq -c '[.flows[].grade] | unique')"
same "and none with a claim where nobody claims" 0 "$("$scitag" top --url "$url" --claim yes --json | jq .matching)"
same "flows have a line each as CSV" 5 "$("$scitag" query flows --url "$url" --limit 4 --csv | wc -l)"
for list in agreement senders sites coverage durations claims; do
	check "query $list answers" sh -c '"$0" query "$2" --url "$1" --json | jq -e "type == \"object\"" && "$0" query "$2" --url "$1" --csv && "$0" query "$2" --url "$1"' "$scitag" "$url" "$list"
done
same "coverage is told by grade" '"bytes","confirmed","registered"' "$("$scitag" query coverage --url "$url" --csv | jq -Rrs 'split("\r\n") | [(.[0] | split(",")[1]), (.[4] | split(",")[0]), (.[3] | split(",")[0])] | @csv')"
exits "a list that there is not is a usage error" 2 "$scitag" query flwos --url "$url"
check "with the one that was meant" grep -q "did you mean 'flows'" "$work/exits.out"
exits "a grade that there is not, too" 2 "$scitag" top --url "$url" --grade good
same "tail ends after as many seconds as asked" 2 \
	"$("$scitag" tail --url "$url" --count 2 --json | jq -s '[.[].time_utc] | unique | length')"
same "tail filters" '["cms"]' \
	"$("$scitag" tail --url "$url" --count 3 --filter 'experiment=cms' --json | jq -cs '[.[].experiment] | unique')"
exits "a filter that is not understood is a usage error" 2 "$scitag" tail --url "$url" --filter 'experiment=cms an'
check "with its place" grep -q '^                 ^' "$work/exits.out"
exits "seconds do not tell of sites" 2 "$scitag" tail --url "$url" --filter 'site=NORTH'
check "which is said" grep -q 'do not tell of sites' "$work/exits.out"
exits "so it is when the observer does not understand" 2 "$scitag" query --url "$url" --filter 'experiment=nobody'
check "with its place" grep -q '^             ^' "$work/exits.out"
"$scitag" query --url "$url" --from -10s --step 1s --group experiment --json >"$work/query.json" 2>"$work/query.err"
same "query says when data is missing" "5 gap" "$? $(cut -c1-3 "$work/query.err" | head -n 1)"
same "query's points are a second apart and have their error" true \
	"$(jq '([.[].time_utc] | unique | length) >= 2 and all(.[]; .error_bytes != null and .time_utc != null)' "$work/query.json")"
same "query's sum is top's over the same time" same "$(
	to=$(date -u -d '-3 seconds' +%Y-%m-%dT%H:%M:%SZ) from=$(date -u -d '-5 seconds' +%Y-%m-%dT%H:%M:%SZ)
	a=$("$scitag" query --url "$url" --from "$from" --to "$to" --json 2>/dev/null | jq '[.[].bytes] | add')
	b=$("$scitag" top --url "$url" --group grade --from "$from" --to "$to" --json | jq '[.[].bytes] | add')
	[ "$a" = "$b" ] && [ "$a" != null ] && [ "$a" != 0 ] && echo same || echo "$a $b"
)"
exits "no observer is a failure" 1 "$scitag" query --url http://127.0.0.1:1
exits "something else than an observer, too" 1 "$scitag" top --url "$url/help"
finish
