#!/bin/sh
# scitag replay: frames onto an interface and datagrams to a collector arrive as they were recorded, in
# time, and within the bounds that were given. Interfaces live in namespaces of this script's own.
. tests/e2e/lib.sh
scitag="$BIN/scitag"
if [ "$(id -u)" -ne 0 ]; then
	skip "replay: needs root for namespaces"
	finish
fi
out="stout$$" in="stin$$"
ip netns add "$out" && namespaces="$namespaces $out"
ip netns add "$in" && namespaces="$namespaces $in"
ip link add a0 netns "$out" type veth peer name b0 netns "$in"
for end in "$out a0" "$in b0"; do # a wire without IPv6 of its own: what arrives was replayed
	set -- $end
	ip netns exec "$1" sh -c "echo 1 >/proc/sys/net/ipv6/conf/$2/disable_ipv6"
	ip -n "$1" link set "$2" up
	ip -n "$1" link set lo up
done
sums() {
	jq -c '[.packets, .bytes, .ip_bytes, ([.tags[] | [.experiment_id, .activity_id, .carrier, .packets, .bytes]] | sort)]' "$1"
}
now_ms() { date +%s%3N; }
wait_line() { # wait_line FILE TEXT: at most 5 s
	tries=0
	until grep -q "$2" "$1" 2>/dev/null || [ $tries -ge 50 ]; do
		tries=$((tries + 1))
		sleep 0.1
	done
}

# frames: cut to 160 bytes in the file, whole again on the wire
"$scitag" gen pcap --packets 4000 --duration 4s --out "$work/p.pcap" --truth "$work/p.json"
start "$work/dump.log" ip netns exec "$in" timeout 20 tcpdump --immediate-mode -B 16384 -s 2000 -c 4000 -i b0 -Q in -w "$work/got.pcap"
dump=$started
wait_line "$work/dump.log" listening
begin=$(now_ms)
ip netns exec "$out" "$scitag" replay "$work/p.pcap" -i a0 2>"$work/replay.log"
same "replay -i: exit 0" 0 $?
took=$(($(now_ms) - begin))
check "frames keep their pace: 4 s took $took ms" test $took -ge 3900 -a $took -lt 6000
wait "$dump" # it ends when it has them all
"$scitag" read --json "$work/p.pcap" >"$work/sent.json"
"$scitag" read --json "$work/got.pcap" >"$work/got.json"
same "every frame arrives, whole and unchanged" "$(sums "$work/sent.json")" "$(sums "$work/got.json")"
same "frames have their length again" "$(jq .bytes "$work/p.json")" "$(jq .bytes "$work/got.json")"
same "the summary counts them" 4000 "$(sed -n 's/^\([0-9]*\) frames.*/\1/p' "$work/replay.log")"

# datagrams: an observer's worth of both, counted where they arrive
"$scitag" gen firefly --flows 200 --duration 10s --out "$work/f.pcap" --truth "$work/f.json"
"$scitag" gen sflow --agents 2 --rate 2000 --duration 10s --out "$work/s.pcap" --truth "$work/s.json"
cat >"$work/sink.py" <<'END'
import re, select, socket, struct, sys, time
# Counts what comes to two ports until nothing came for a second and a half; one line of findings.
fireflies, samples = (socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) for _ in range(2))
for s, port in (fireflies, 10514), (samples, 6343):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
    s.bind(("::1", port))
print("ready", flush=True)
texts, sequences, gaps, oldest, newest, first_wait = 0, {}, 0, None, None, 20
while True:
    ready = select.select([fireflies, samples], [], [], first_wait)[0]
    if not ready:
        break
    first_wait = 1.5
    for s in ready:
        data = s.recv(65536)
        if s is fireflies:
            texts += 1
            for y, mo, d, h, m, sec in re.findall(rb"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)", data):
                t = time.strptime("%d %d %d %d %d %d" % tuple(map(int, (y, mo, d, h, m, sec))), "%Y %m %d %H %M %S")
                t = time.mktime(t) - time.timezone
                oldest, newest = min(oldest or t, t), max(newest or t, t)
        else:
            n = 4 if data[7] == 1 else 16
            agent, sequence = data[8:8 + n], struct.unpack(">I", data[12 + n:16 + n])[0]
            gaps += agent in sequences and sequence != sequences[agent] + 1
            sequences[agent] = sequence
print(texts, sum(sequences.values()), gaps, int(oldest or 0), int(newest or 0))
END
start "$work/sink.log" ip netns exec "$in" env TZ=UTC python3 "$work/sink.py"
sink=$started
wait_line "$work/sink.log" ready
ip netns exec "$in" "$scitag" replay "$work/f.pcap" --to '[::1]:10514' --speed 0 2>"$work/f.log"
ip netns exec "$in" "$scitag" replay "$work/s.pcap" --to '[::1]:6343' --speed 5 2>"$work/s.log"
wait "$sink"
set -- $(tail -n 1 "$work/sink.log")
same "every firefly arrives" "$(jq .datagrams "$work/f.json")" "$1"
same "every sFlow datagram arrives, in order" "$(jq '[.agents[].datagrams] | add' "$work/s.json") 0" "$2 $3"
same "as they were: recorded times" 2026-01-01 "$(date -u -d "@$4" +%F)"

# --now, in a loop, stopped by --count and --duration
start "$work/sink.log" ip netns exec "$in" env TZ=UTC python3 "$work/sink.py"
sink=$started
wait_line "$work/sink.log" ready
before=$(date +%s)
once=$(jq .datagrams "$work/f.json")
ip netns exec "$in" "$scitag" replay "$work/f.pcap" --to '[::1]:10514' --now --loop --speed 20 --count $((once * 2 + 5)) 2>"$work/f.log"
ip netns exec "$in" "$scitag" replay "$work/s.pcap" --to '[::1]:6343' --now --loop --speed 20 --duration 2s 2>"$work/s.log"
wait "$sink"
set -- $(tail -n 1 "$work/sink.log")
same "--count is kept to, across loops" $((once * 2 + 5)) "$1"
check "--loop goes on: $2 sFlow datagrams" test "$2" -gt "$(jq '[.agents[].datagrams] | add * 2' "$work/s.json")"
same "--now: sequences go on without a gap" 0 "$3"
check "--now: times are of today" test "$4" -ge $((before - 2)) -a "$5" -le $((before + 40))

exits "nobody listens: said, and not a success" 5 ip netns exec "$in" "$scitag" replay "$work/f.pcap" --to '[::1]:10514' --speed 0
exits "a capture without datagrams for a collector" 1 ip netns exec "$in" "$scitag" replay "$work/p.pcap" --to '[::1]:6343' --speed 0
exits "no such interface" 1 "$scitag" replay "$work/p.pcap" -i nosuch0
exits "neither --to nor -i" 2 "$scitag" replay "$work/p.pcap"
exits "both" 2 "$scitag" replay "$work/p.pcap" -i lo --to '[::1]:6343'
exits "no right to send frames" 4 ip netns exec "$out" setpriv --reuid 65534 --clear-groups --bounding-set -all "$scitag" replay "$work/p.pcap" -i a0
finish
