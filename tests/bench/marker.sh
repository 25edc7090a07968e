#!/bin/sh
# What marking costs: nanoseconds a packet, then throughput against unmarked, in turns.
[ "$(id -u)" = 0 ] || { echo "needs root"; exit 0; }
echo "load before: $(cut -d' ' -f1 /proc/loadavg); above 0.5 other work is in the ratios of throughput"
[ -x "$BIN/bpf/test_mark_cost" ] && "$BIN/bpf/test_mark_cost" 2>&1 | sed -n 's/^# //p'
/usr/bin/python3 "$(dirname "$0")/../e2e/marker_path.py" loss
exec /usr/bin/python3 "$(dirname "$0")/marker.py"
