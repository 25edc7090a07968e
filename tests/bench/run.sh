#!/bin/sh
# make bench: figures of this machine, medians of several runs. Ratios count more than the absolute
# figures of a shared machine; what limits each is said beside it.
set -u
cd "$(dirname "$0")/../.." || exit 1
BIN=${BIN:-$PWD/build}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
only=${1:-}
want() { [ -z "$only" ] || [ "$only" = "$1" ]; }
median() { sort -n | awk '{v[NR] = $1} END {print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }
cpu_of() { # cpu_of COMMAND...: user + system seconds of a command, from the shell's own times
	python3 - "$@" <<'EOF'
import os, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
t = os.times()
print(t.children_user + t.children_system)
EOF
}

echo "machine: $(nproc) x $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), Linux $(uname -r)"

if want read; then
	"$BIN/scitag" gen pcap --seed 1 --packets 6000000 --snap 160 --out "$work/read.pcap" 2>/dev/null
	bytes=$(stat -c %s "$work/read.pcap")
	for i in 1 2 3 4 5; do cpu_of "$BIN/scitag" read --json "$work/read.pcap"; done | median >"$work/s"
	# the floor: the same file through libpcap and nothing else
	for i in 1 2 3 4 5; do cpu_of tcpdump -nr "$work/read.pcap" -w /dev/null; done | median >"$work/f"
	awk -v s="$(cat "$work/s")" -v f="$(cat "$work/f")" -v b="$bytes" 'BEGIN {
		printf "scitag read: %.0f MB, 6,000,000 packets in %.2f s of CPU: %.2f Mpackets/s; %.2f x the time of tcpdump -w /dev/null\n", b / 1e6, s, 6 / s, s / f}'
	rm -f "$work/read.pcap"
fi
for program in "$BIN"/bench/bench_*; do
	name=$(basename "$program")
	want "${name#bench_}" || continue
	echo "== ${name#bench_}"
	"$program" || echo "$name failed"
done
if want path && [ "$(id -u)" -eq 0 ]; then
	echo "== path: datagrams through the whole observer into SQLite"
	sh tests/bench/path.sh
fi
for script in tests/bench/[a-z]*.sh; do
	name=$(basename "$script" .sh)
	case $name in run | path) continue ;; esac
	want "$name" || continue
	echo "== $name"
	sh "$script" || echo "$name failed"
done
