#!/bin/sh
# Frames a second through the running observer: the tap, AF_XDP and libpcap behind a veth pair, fed with live frames of
# BPF_PROG_TEST_RUN. Every frame is accounted for: counted, or in a counter of those that were lost. Medians of
# XDP_ROUNDS (3) rounds; what is missed is said, what is uncounted fails. On a shared machine everything else is somebody
# else's time, so bars are held against seconds of CPU: for the tap those of the sender and of all network interrupts of its
# CPU, where it runs; for the others those of the observer's process.
. tests/e2e/lib.sh
need_root
rounds=${XDP_ROUNDS:-3}
cc=${CC:-cc}
clang -target bpf -mcpu=v3 -O2 -g -I. -I"/usr/include/$($cc -print-multiarch)" -c tests/bpf/live.bpf.c -o "$work/live.bpf.o" &&
	$cc -O2 tests/bench/live_frames.c -o "$work/live_frames" -lbpf || exit 1
namespace o
node=$ns
namespace g
wire=$ns
for mode in xdp afxdp pcap; do
	ip -n "$node" link add name $mode type veth peer name to_$mode netns "$wire"
	for pair in "$node $mode" "$wire to_$mode"; do
		set -- $pair
		in_ns "$1" sh -c "echo 1 >/proc/sys/net/ipv6/conf/$2/disable_ipv6"
		ip -n "$1" link set dev "$2" up
	done
done
in_ns "$node" ethtool -K pcap gro on # else the pair takes no live frames; these are UDP and not merged
printf 'registry: {refresh: 0, cache: ""}\ncapture: {mirror: true}\n' >"$work/o.yaml"
get() { in_ns "$node" curl -gsf "http://127.0.0.1:10580$1"; }
median() { sort -n | awk '{v[NR] = $1} END {print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }
errors() { in_ns "$wire" ethtool -S "to_$1" | awk '/xdp_xmit_errors/ {n += $2} END {print n + 0}'; }
cpu_of() { awk '{print ($14 + $15) / 100}' "/proc/$1/stat" 2>/dev/null || echo 0; }
softirq() { awk '$1 == "cpu0" {print ($7 + $8) / 100}' /proc/stat; }
# figure MODE FRAMES BYTES RATE BAR: a round; prints frames a second that were counted
figure() {
	mode=$1
	start "$work/observer.log" nsenter --net=/run/netns/"$node" taskset -c 1 "$BIN/scitag-observer" -i "$mode:$mode" \
		--db "sqlite:$work/$mode.db" --conf "$work/o.yaml"
	observer=$started
	wait_for 10 get /readyz || {
		not_ok "$mode: no observer: $(tail -n 1 "$work/observer.log")"
		return
	}
	before=$(errors "$mode") cpu_before=$(cpu_of "$observer") softirq_before=$(softirq)
	nsenter --net=/run/netns/"$wire" taskset -c 0 "$work/live_frames" "$work/live.bpf.o" "to_$mode" "$2" "$3" "$4" >"$work/sent" || {
		not_ok "$mode: no generator"
		stop "$observer"
		return
	}
	softirq_after=$(softirq)
	sleep 2.5
	cpu_after=$(cpu_of "$observer")
	get /api/v1/sources | jq -c '.sources[0]' >"$work/source"
	lost=$(($(errors "$mode") - before))
	read -r sent seconds sender_cpu <"$work/sent"
	if [ "$mode" = xdp ]; then
		cpu=$(awk -v c="$sender_cpu" -v b="$softirq_before" -v a="$softirq_after" 'BEGIN {print c + a - b}')
	else
		cpu=$(awk -v b="$cpu_before" -v a="$cpu_after" 'BEGIN {print a - b}')
	fi
	received=$(jq .received "$work/source") accepted=$(jq .accepted "$work/source")
	dropped=$(jq '[.dropped[]] | add' "$work/source")
	[ "$sent" = $((received + lost)) ] || not_ok "$mode: $sent sent, $received received, $lost lost by the pair's ring"
	[ "$received" = $((accepted + dropped)) ] || not_ok "$mode: $received received, $accepted accepted, $dropped dropped"
	awk -v n="$accepted" -v s="$seconds" 'BEGIN {printf "%.3f\n", n / s / 1e6}' >>"$work/figures"
	awk -v n="$accepted" -v s="$cpu" 'BEGIN {printf "%.3f\n", (s > 0) ? n / s / 1e6 : 0}' >>"$work/rates"
	awk -v sent="$sent" -v d="$dropped" -v l="$lost" 'BEGIN {printf "%.2f\n", 100 * (d + l) / sent}' >>"$work/losses"
	stop "$observer"
	rm -f "$work/$mode.db"*
}
run() { # run WHAT BAR MODE FRAMES BYTES RATE
	what=$1 bar=$2
	shift 2
	: >"$work/figures"
	: >"$work/losses"
	: >"$work/rates"
	for _ in $(seq "$rounds"); do figure "$@"; done
	awk -v m="$(median <"$work/figures")" -v r="$(median <"$work/rates")" -v l="$(median <"$work/losses")" -v b="$bar" -v w="$what" 'BEGIN {
		bar = (b > 0) ? sprintf(" (bar %.1f: %s)", b, (r >= b) ? "kept" : "MISSED") : ""
		printf("%-40s %5.2f M/s, %5.2f M/s of CPU%s, %.2f %% lost and known\n", w, m, r, bar, l)}'
}
run "tap, 70 bytes, one CPU with the sender" 6.5 xdp 15000000 70 0
run "tap, 1,500 bytes" 0 xdp 10000000 1500 0
run "AF_XDP copied, 70 bytes, flooded" 1.5 afxdp 10000000 70 0
run "AF_XDP copied, 1,500 bytes, flooded" 0 afxdp 5000000 1500 0
run "AF_XDP copied, 70 bytes, 1 Mpackets/s" 0 afxdp 2000000 70 1000000
run "libpcap, 70 bytes, 0.5 Mpackets/s" 0 pcap 1000000 70 500000
run "libpcap, 70 bytes, flooded" 0 pcap 4000000 70 0
finish
