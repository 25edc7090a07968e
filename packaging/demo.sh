#!/bin/sh
# Live traffic on one machine: a mirror port (a veth pair into a namespace of its own), three sFlow
# agents and fireflies, all made by `scitag gen` and sent by `scitag replay`, and the observer that
# shows them. Runs until Ctrl-C, or DEMO_SECONDS seconds. Touches nothing that it did not make.
set -eu
BIN=${BIN:-build}
PORT=${DEMO_PORT:-10580}
SECONDS_=${DEMO_SECONDS:-0}
[ "$(id -u)" -eq 0 ] || {
	echo "demo: needs root for the network namespace and the capture: sudo make demo" >&2
	exit 4
}
work=$(mktemp -d)
namespace=scitag-demo-$$
mirror=stmir$(($$ % 10000))
pids=
stop() {
	trap - INT TERM EXIT
	for pid in $pids; do kill "$pid" 2>/dev/null || true; done
	for pid in $pids; do wait "$pid" 2>/dev/null || true; done
	ip netns del "$namespace" 2>/dev/null || true
	ip link del "$mirror" 2>/dev/null || true
	rm -rf "$work"
}
trap 'stop; exit 0' INT TERM
trap stop EXIT

ip netns add "$namespace"
ip link add "$mirror" type veth peer name out0 netns "$namespace"
for name in all "$mirror"; do # a mirror port speaks no IP of its own
	[ -w "/proc/sys/net/ipv6/conf/$name/disable_ipv6" ] && [ "$name" = "$mirror" ] &&
		echo 1 >"/proc/sys/net/ipv6/conf/$name/disable_ipv6"
done
ip -n "$namespace" link set lo up
ip netns exec "$namespace" sh -c 'echo 1 >/proc/sys/net/ipv6/conf/out0/disable_ipv6'
ip -n "$namespace" link set out0 up
ip link set "$mirror" up

echo "demo: making traffic"
# one seed and one size: the same flows on the mirror port, in the samples and in the fireflies
flows="--seed 1 --duration 60s --packets 240000 --flows 600"
"$BIN/scitag" gen pcap $flows --out "$work/mirror.pcap"
"$BIN/scitag" gen sflow $flows --agents 3 --rate 20 --out "$work/sflow.pcap"
"$BIN/scitag" gen firefly $flows --out "$work/fireflies.pcap"

cat >"$work/observer.yaml" <<EOF
interfaces: ["$mirror"]
sflow: {listen: ["[::1]:6343"]}
firefly: {listen: ["[::1]:10514"]}
http: {listen: "127.0.0.1:$PORT"}
database: {url: "sqlite:$work/observer.db"}
site: {prefixes: ["2001:db8:1::/48", "192.0.2.0/24"]}
registry: {refresh: 0, cache: ""}
EOF
"$BIN/scitag-observer" --conf "$work/observer.yaml" 2>"$work/observer.log" &
observer=$!
pids=$observer
tries=0
until curl -fs "http://127.0.0.1:$PORT/readyz" >/dev/null 2>&1; do
	kill -0 "$observer" 2>/dev/null || {
		cat "$work/observer.log" >&2
		exit 1
	}
	tries=$((tries + 1))
	[ $tries -lt 100 ] || exit 1
	sleep 0.1
done
ip netns exec "$namespace" "$BIN/scitag" replay "$work/mirror.pcap" -i out0 --loop 2>"$work/replay-mirror.log" &
pids="$pids $!"
"$BIN/scitag" replay "$work/sflow.pcap" --to "[::1]:6343" --loop --now 2>"$work/replay-sflow.log" &
pids="$pids $!"
"$BIN/scitag" replay "$work/fireflies.pcap" --to "[::1]:10514" --loop --now 2>"$work/replay-fireflies.log" &
pids="$pids $!"

cat <<EOF

  Scitag Observer shows live traffic at   http://127.0.0.1:$PORT/

  mirror port  $mirror: IPv6 labels, destination and hop-by-hop options, unmarked and IPv4 packets
  sFlow        three agents to [::1]:6343
  fireflies    five producers' dialects to [::1]:10514

EOF
if [ "$SECONDS_" -gt 0 ]; then
	echo "demo: ends by itself in $SECONDS_ s"
	sleep "$SECONDS_" &
	wait $! || true
else
	echo "demo: Ctrl-C ends it"
	wait "$observer"
fi
