#!/bin/sh
# sFlow samples and fireflies through the whole path: socket, decoder, aggregate, SQLite, with the page's
# server running. CPU seconds of the observer's process, so that the sender on the same machine does not count.
. tests/e2e/lib.sh
need_root
namespace b
"$BIN/scitag" gen sflow --seed 1 --agents 3 --packets 40000000 --rate 100 --out "$work/sflow.pcap" 2>/dev/null
"$BIN/scitag" gen firefly --seed 1 --flows 60000 --out "$work/ff.pcap" 2>/dev/null
start "$work/log" nsenter --net=/run/netns/"$ns" "$BIN/scitag-observer" --sflow '[::1]:6343' --firefly '[::1]:10514' \
	--db "sqlite:$work/o.db"
observer=$started
wait_for 10 in_ns "$ns" curl -sf http://127.0.0.1:10580/readyz
cpu() { awk '{print ($14 + $15) / 100}' "/proc/$observer/stat"; }
count() { in_ns "$ns" curl -sf http://127.0.0.1:10580/api/v1/sources | jq "[.sources[] | select(.kind == \"$1\") | .$2] | add // 0"; }
figure() { # figure WHAT KIND FILE PORT
	before=$(cpu)
	nsenter --net=/run/netns/"$ns" "$BIN/scitag" replay "$3" --to "[::1]:$4" --rate 200000 2>/dev/null
	sleep 2.5
	awk -v n="$(count "$2" accepted)" -v c="$(cpu)" -v b="$before" -v what="$1" \
		'BEGIN {printf "%s: %d in %.2f s of CPU: %.0f a second of one core\n", what, n, c - b, n / (c - b)}'
}
figure "sFlow samples" sflow_agent "$work/sflow.pcap" 6343
figure "fireflies" firefly_input "$work/ff.pcap" 10514
echo "resident memory: $(awk '/VmRSS/ {print $2 / 1000}' "/proc/$observer/status") MB"
stop "$observer"
