#!/bin/sh
# The main job on live traffic, on one machine: two data transfer nodes in network namespaces send to each
# other with iperf3, each with its own scitag-marker (one writes flow labels, one destination options) and
# its own fireflies; a switch between them mirrors their frames to the observer. Beside it the sFlow of three
# switches and the fireflies of other producers, made by `scitag gen`. Runs until Ctrl-C, or DEMO_SECONDS
# seconds. Touches nothing that it did not make.
set -eu
BIN=${BIN:-build}
PORT=${DEMO_PORT:-10580}
SECONDS_=${DEMO_SECONDS:-0}
here=$(dirname "$0")
[ "$(id -u)" -eq 0 ] || {
	echo "demo: needs root for network namespaces and the kernel programs: sudo make demo" >&2
	exit 4
}
work=$(mktemp -d)
a=scitag-demo-a-$$ b=scitag-demo-b-$$ switch=scitag-demo-s-$$
mirror=stmir$(($$ % 10000)) manage=stman$(($$ % 10000))
pids=
stop() {
	trap - INT TERM EXIT
	for pid in $pids; do kill "$pid" 2>/dev/null || true; done
	for pid in $pids; do wait "$pid" 2>/dev/null || true; done
	for namespace in "$a" "$b" "$switch"; do
		for pid in $(ip netns pids "$namespace" 2>/dev/null); do kill "$pid" 2>/dev/null || true; done
		ip netns del "$namespace" 2>/dev/null || true
	done
	ip link del "$mirror" 2>/dev/null || true
	ip link del "$manage" 2>/dev/null || true
	rm -rf "$work"
}
trap 'stop; exit 0' INT TERM
trap stop EXIT
background() { # background LOG COMMAND...
	log=$1
	shift
	"$@" >"$work/$log.log" 2>&1 &
	pids="$pids $!"
}

# --- the network: DTN a -- switch -- DTN b, the mirror port and a management link to this machine ------------
for namespace in "$a" "$b" "$switch"; do
	ip netns add "$namespace"
	ip -n "$namespace" link set lo up
done
ip -n "$switch" link add port1 type veth peer name eth0 netns "$a"
ip -n "$switch" link add port2 type veth peer name eth0 netns "$b"
ip -n "$switch" link add mirror0 index 4100 type veth peer name "$mirror" netns 1
ip -n "$switch" link add manage0 type veth peer name "$manage" netns 1
for quiet in "nsenter --net=/run/netns/$switch mirror0" "env $mirror"; do # mirror ports speak no IP
	${quiet% *} sh -c "echo 1 >/proc/sys/net/ipv6/conf/${quiet##* }/disable_ipv6"
done
nsenter --net=/run/netns/"$switch" sh -c 'echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'
address() { # address NAMESPACE INTERFACE ADDRESS
	ip -n "$1" addr add "$3" dev "$2" nodad
	ip -n "$1" link set "$2" up
}
address "$a" eth0 2001:db8:1::10/64
address "$b" eth0 2001:db8:2::20/64
address "$switch" port1 2001:db8:1::1/64
address "$switch" port2 2001:db8:2::1/64
address "$switch" manage0 fd5c:17a6::2/64
ip addr add fd5c:17a6::1/64 dev "$manage" nodad
ip link set "$manage" up
ip link set "$mirror" up
ip -n "$switch" link set mirror0 up
ip -n "$a" route add default via 2001:db8:1::1
ip -n "$b" route add default via 2001:db8:2::1
clang -target bpf -O2 -g -I"/usr/include/$(gcc -print-multiarch)" -c "$here/demo_mirror.bpf.c" -o "$work/mirror.o"
for port in port1 port2; do
	nsenter --net=/run/netns/"$switch" tc qdisc add dev $port clsact
	nsenter --net=/run/netns/"$switch" tc filter add dev $port ingress bpf direct-action object-file "$work/mirror.o" section tc
done
for namespace in "$a" "$b"; do # frames as they would be on a wire, not the kernel's super-packets
	nsenter --net=/run/netns/"$namespace" ethtool -K eth0 tso off gso off >/dev/null 2>&1 || true
done

# --- whose addresses they are: made-up sites in CRIC's form ------------------------------------------------------
site() { # site NAME TIER LATITUDE LONGITUDE COUNTRY PREFIX...
	printf '%s"%s": {"name": "%s", "rc_tier_level": %s, "latitude": %s, "longitude": %s, "country_code": "%s",\n' \
		"$comma" "$1" "$1" "$2" "$3" "$4" "$5"
	shift 5
	printf ' "netroutes": {"R": {"networks": {"any": ["%s"' "$1"
	shift
	for prefix; do printf ', "%s"' "$prefix"; done
	printf ']}}}}'
	comma=',
'
}
{
	comma='{'
	site SITE-A 1 52.4 4.9 NL 2001:db8:1::/48 192.0.2.0/24
	site SITE-B 2 41.8 -88.3 US 2001:db8:2::/48
	site SITE-C 0 46.2 6.1 CH 2001:db8:10::/46 203.0.113.0/24
	site SITE-D 1 40.9 -72.9 US 2001:db8:14::/46
	site SITE-E 2 35.7 139.7 JP 2001:db8:18::/46
	site SITE-F 2 -33.9 18.4 ZA 2001:db8:1c::/46
	echo '}'
} >"$work/cric.json"

# --- the observer ----------------------------------------------------------------------------------------------
cat >"$work/observer.yaml" <<EOF
interfaces: ["$mirror"]
sflow: {listen: ["[::1]:6343"]}
firefly: {listen: ["[::1]:10514", "[fd5c:17a6::1]:10514"], relays: ["::1"]}
sites: {cric: "$work/cric.json"}
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

# --- two DTNs with their markers ----------------------------------------------------------------------------------
dtn() { # dtn NAMESPACE STRATEGY ADDRESS FIRST_PORT: receives on the six ports behind FIRST_PORT
	cat >"$work/$1.yaml" <<EOF
backends:
  marker: {targetInterfaces: [eth0], markingStrategy: $2}
  firefly: {sendToCollector: true, collectorAddress: "fd5c:17a6::1", enrich: true}
plugins:
  namedPipe: {pipePath: "$work/$1.pipe"}
enrichers: {netlink: {}}
control: {path: "$work/$1.sock"}
EOF
	background "$1.marker" nsenter --net=/run/netns/"$1" "$BIN/scitag-marker" --conf "$work/$1.yaml" run
	for n in 1 2 3 4 5 6; do
		background "$1.server$n" nsenter --net=/run/netns/"$1" iperf3 -s -B "$3" -p $(($4 + n))
	done
}
dtn "$a" label 2001:db8:1::10 10200
dtn "$b" destination 2001:db8:2::20 5200
for pipe in "$work/$a.pipe" "$work/$b.pipe"; do
	tries=0
	until [ -p "$pipe" ]; do
		tries=$((tries + 1))
		[ $tries -lt 100 ] || {
			cat "$work"/*.marker.log >&2
			exit 1
		}
		sleep 0.1
	done
done
background a.transfers sh "$here/demo_transfers.sh" "$a" 2001:db8:1::10 2001:db8:2::20 "$work/$a.pipe" 5200
background b.transfers sh "$here/demo_transfers.sh" "$b" 2001:db8:2::20 2001:db8:1::10 "$work/$b.pipe" 10200

# --- switches elsewhere, and other producers' fireflies ---------------------------------------------------------------
flows="--seed 1 --duration 60s --packets 240000 --flows 600"
"$BIN/scitag" gen sflow $flows --agents 3 --rate 20 --out "$work/sflow.pcap"
"$BIN/scitag" gen firefly $flows --out "$work/fireflies.pcap"
background replay-sflow "$BIN/scitag" replay "$work/sflow.pcap" --to "[::1]:6343" --loop --now
background replay-fireflies "$BIN/scitag" replay "$work/fireflies.pcap" --to "[::1]:10514" --loop --now

cat <<EOF

  Scitag Observer shows live traffic at   http://127.0.0.1:$PORT/

  mirror port  $mirror: two DTNs, one marks with flow labels, the other with destination options
  sFlow        three made-up switches to [::1]:6343
  fireflies    of both markers, and of five producers' dialects

EOF
# once flows were both announced and seen
joined() {
	tries=0
	while [ $tries -lt 60 ]; do
		sleep 1
		tries=$((tries + 1))
		said=$(curl -fs "http://127.0.0.1:$PORT/api/v1/health" |
			jq -r '.join | select(.claims_joined > 0) | "\(.claims_joined) of \(.claims_begun)"') || continue
		[ $tries -lt 10 ] || [ -z "$said" ] || break
	done
	echo "demo: fireflies joined with what the wire shows: ${said:-none} flows announced so far (Flows and Agreement tell which)"
}
joined &
pids="$pids $!"
if [ "$SECONDS_" -gt 0 ]; then
	echo "demo: ends by itself in $SECONDS_ s"
	sleep "$SECONDS_" &
	wait $! || true
else
	echo "demo: Ctrl-C ends it"
	wait "$observer"
fi
