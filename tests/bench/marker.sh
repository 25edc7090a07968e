#!/bin/sh
# What marking costs: nanoseconds a packet, then throughput against unmarked, in turns.
[ "$(id -u)" = 0 ] || { echo "needs root"; exit 0; }
[ -x "$BIN/bpf/test_mark_cost" ] && "$BIN/bpf/test_mark_cost" 2>&1 | sed -n 's/^# //p'
/usr/bin/python3 "$(dirname "$0")/../e2e/marker_path.py" loss
exec /usr/bin/python3 "$(dirname "$0")/marker.py"
