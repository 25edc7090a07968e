# A collector that stands still loses datagrams. Every one of them is found again: in the kernel's
# counter, and in the gap that the agent's sequence shows. What did arrive is counted to the byte.
# shellcheck shell=sh
. tests/e2e/lib.sh
need_root
namespace node
node=$ns
SENT=150000 # of 564 bytes: more than 64 MiB of socket buffers hold
get() { in_ns "$node" curl -gsf "http://127.0.0.1:10580$1"; }
agent() { get /api/v1/sources | jq -r ".sources[] | select(.kind == \"sflow_agent\") | $1"; }
input() { get /api/v1/sources | jq -r ".sources[] | select(.kind == \"sflow_input\") | $1"; }

# The vector of four samples with the numbers of datagram FIRST, FIRST + 1, ...: two flow samples of
# 2,048 packets each, of 1,498 and of 1,510 bytes.
cat >"$work/send.py" <<'PY'
import socket, struct, sys
first, n = int(sys.argv[1]), int(sys.argv[2])
d = bytearray.fromhex("".join(open("tests/vectors/sflow-four-samples.hex").read().split()))
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.connect(("::1", 6343))
for i in range(first, first + n):
    struct.pack_into(">II", d, 16, i, i)                   # sequence, uptime
    for at, k in ((36, 0), (252, 1)):                      # the two flow samples: sequence and pool
        struct.pack_into(">I", d, at, 2 * i + k)
    struct.pack_into(">I", d, 48, (2 * i * 2048) & 0xFFFFFFFF)
    struct.pack_into(">I", d, 268, ((2 * i + 1) * 2048) & 0xFFFFFFFF)
    s.send(d)
PY
printf 'registry: {refresh: 0, cache: ""}\n' >"$work/o.yaml"
start "$work/observer.log" nsenter --net=/run/netns/"$node" "$BIN/scitag-observer" \
	--sflow '[::1]:6343' --db "sqlite:$work/o.db" --conf "$work/o.yaml"
observer=$started
wait_for 10 get /readyz || {
	not_ok "the observer is ready within 10 s"
	sed 's/^/  # /' "$work/observer.log"
	finish
}
in_ns "$node" python3 "$work/send.py" 1 1000
sleep 2.5
same "a thousand datagrams without loss" "1000 1000 0" "$(input '"\(.received) \(.accepted) \(.dropped.kernel)"')"
same "their agent misses none" "2000 0" "$(agent '"\(.accepted) \(.lost)"')"
same "and its pool says one in 2,048" 2048 "$(agent '.effective_rate | round')"

kill -STOP "$observer"
in_ns "$node" python3 "$work/send.py" 1001 $SENT
kill -CONT "$observer"
sleep 2
in_ns "$node" python3 "$work/send.py" $((1001 + SENT)) 1 # what is lost at the end shows with the next
sleep 2.5
received=$(input .received) accepted=$(input .accepted) dropped=$(input .dropped.kernel)
same "received: all that was sent" $((1001 + SENT)) "$received"
check "the kernel had to drop some ($dropped)" test "$dropped" -gt 0
same "accepted and dropped are all of them" "$received" $((accepted + dropped))
same "the agent's sequence misses what the kernel dropped" "$dropped" "$(agent .lost)"
same "two samples of each that was accepted" $((2 * accepted)) "$(agent .accepted)"
check "the measured rate rises above the announced one" test "$(agent '.effective_rate > .sampling_rate')" = true
stop "$observer"
same "traffic: 4,096 packets and 6,160,384 bytes of each" "$((accepted * 4096))|$((accepted * 6160384))" \
	"$(sqlite3 "$work/o.db" 'select sum(packets), sum(bytes) from traffic_10s')"
finish
