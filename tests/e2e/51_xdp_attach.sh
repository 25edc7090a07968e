#!/bin/sh
# How the tap comes and goes: another's program is left alone, an innocent ping loses nothing, nothing stays behind even
# after kill -9, an interface may be removed, renamed or flapped, queues may be added, frames may be long.
# XDP_CYCLES (20) starts and stops under ping, XDP_KILLS (5) kills under traffic; the full numbers are 200 and 50.
. tests/e2e/lib.sh
need_root
scitag="$BIN/scitag"
namespace o
node=$ns
namespace g
wire=$ns
url=http://127.0.0.1:10580
get() { in_ns "$node" curl -gsf "$url$1"; }
source_of() { get /api/v1/sources | jq -r ".sources[] | select(.name == \"$1\") | $2"; }
pair() { # pair NAME [MTU [QUEUES]]: NAME here, to_NAME at the sender's
	ip -n "$node" link add name "$1" mtu "${2:-1500}" numrxqueues "${3:-1}" numtxqueues "${3:-1}" type veth \
		peer name "to_$1" mtu "${2:-1500}" numrxqueues "${3:-1}" numtxqueues "${3:-1}" netns "$wire"
	in_ns "$node" sh -c "echo 1 >/proc/sys/net/ipv6/conf/$1/disable_ipv6"
	in_ns "$wire" sh -c "echo 1 >/proc/sys/net/ipv6/conf/to_$1/disable_ipv6"
	ip -n "$node" link set dev "$1" up
	ip -n "$wire" link set dev "to_$1" up
}
send() { nsenter --net=/run/netns/"$wire" "$scitag" replay "$1" -i "to_$2" --rate 20000 2>>"$work/replay.log"; }
cat >"$work/o.yaml" <<'YAML'
registry: {refresh: 0, cache: ""}
capture: {mirror: true}
YAML
observe() { # observe DATABASE -i IFACE:MODE...
	db=$1
	shift
	start "$work/observer.log" nsenter --net=/run/netns/"$node" "$BIN/scitag-observer" \
		--db "sqlite:$work/$db.db" --conf "$work/o.yaml" "$@"
	observer=$started
	wait_for 10 get /readyz || {
		not_ok "the observer is ready within 10 s"
		sed 's/^/  # /' "$work/observer.log"
		finish
	}
}
program_of() { ip -n "$node" -j link show dev "$1" | jq '.[0].xdp.prog.id // 0'; }
no_program() { [ "$(program_of "$1")" = 0 ]; }
# everything_of PROGRAM: the ids of its maps and links
everything_of() {
	bpftool -j prog show id "$1" | jq -r '.map_ids[]?' >"$work/maps"
	bpftool -j link show | jq -r ".[] | select(.prog_id == $1) | .id" >"$work/links"
}
is_gone() { # is_gone PROGRAM: with what everything_of said
	bpftool prog show id "$1" >/dev/null 2>&1 && return 1
	while read -r id; do bpftool map show id "$id" >/dev/null 2>&1 && return 1; done <"$work/maps"
	while read -r id; do bpftool link show id "$id" >/dev/null 2>&1 && return 1; done <"$work/links"
	return 0
}
"$scitag" gen pcap --seed 6 --packets 5000 --out "$work/gen.pcap" --truth "$work/gen.json" 2>/dev/null
meant() { jq -c "[$1 * .packets, $1 * .bytes]" "$work/gen.json"; }

# --- another's program ----------------------------------------------------------------------------------
pair busy
cat >"$work/foreign.bpf.c" <<'C'
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("xdp") int somebody_else(struct xdp_md *ctx) { return XDP_PASS; }
char _license[] SEC("license") = "GPL";
C
clang -target bpf -O2 -g -I"/usr/include/$(gcc -print-multiarch)" -c "$work/foreign.bpf.c" -o "$work/foreign.bpf.o"
ip -n "$node" link set dev busy xdp obj "$work/foreign.bpf.o" sec xdp
foreign=$(program_of busy)
exits "a foreign program is a reason to refuse" 4 timeout 10 nsenter --net=/run/netns/"$node" "$BIN/scitag-observer" \
	-i busy:xdp --db "sqlite:$work/busy.db" --conf "$work/o.yaml"
check "it is named with its id" grep -q "id $foreign, somebody_else" "$work/exits.out"
same "and left alone" "$foreign" "$(program_of busy)"
observe busy -i busy
check "auto says why it takes libpcap" sh -c "echo '$(source_of busy .detail)' | grep -q 'libpcap.*id $foreign, somebody_else'"
send "$work/gen.pcap" busy
sleep 2.5
same "and counts with it" "$(meant 1)" "$(source_of busy '[.received, .bytes]' | jq -c .)"
stop "$observer"
same "the foreign program is still there" "$foreign" "$(program_of busy)"
ip -n "$node" link set dev busy xdp off
exits "an interface that is not there" 4 timeout 10 nsenter --net=/run/netns/"$node" "$BIN/scitag-observer" \
	-i nowhere0:xdp --db "sqlite:$work/busy.db" --conf "$work/o.yaml"
ip -n "$node" address add 192.0.2.1/24 dev busy
exits "afxdp takes nothing away from a host with addresses" 1 timeout 10 nsenter --net=/run/netns/"$node" \
	"$BIN/scitag-observer" -i busy:afxdp --db "sqlite:$work/busy.db" --conf "$work/o.yaml"
check "and says so" grep -q 'busy has addresses: afxdp would take' "$work/exits.out"
ip -n "$node" address del 192.0.2.1/24 dev busy
exits "nor from one that is not called a mirror port" 1 timeout 10 nsenter --net=/run/netns/"$node" \
	"$BIN/scitag-observer" -i busy:afxdp --no-mirror --db "sqlite:$work/busy.db" --conf "$work/o.yaml"
check "and says what to say" grep -q 'capture.mirror: true' "$work/exits.out"
no_program busy || not_ok "a refusal left a program behind"

# --- long frames ----------------------------------------------------------------------------------------
pair long 9000
pair pieces 9000
/usr/bin/python3 - "$work/long.pcap" <<'PY'
import struct, sys
frames = []
for n in (100, 1400, 3000, 3840, 3841, 4096, 7680, 8900): # UDP payload; label of experiment 2, activity 4
    ip = struct.pack(">IHBB", 6 << 28 | 0x10010, 8 + n, 17, 64) + bytes.fromhex("20010db8000a" + "0" * 19 + "1" + "20010db8000b" + "0" * 19 + "2")
    frames += [bytes(12) + b"\x86\xdd" + ip + struct.pack(">HHHH", 5001, 443, 8 + n, 0) + bytes(n)] * 50
with open(sys.argv[1], "wb") as f:
    f.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
    for i, b in enumerate(frames):
        f.write(struct.pack("<IIII", 1700000000, i, len(b), len(b)) + b)
PY
observe long -i long:xdp -i pieces:afxdp
check "an MTU of 9,000 is taken in the driver, in pieces" sh -c "echo '$(source_of long .detail)' | grep -q 'native XDP (frags)'"
check "by AF_XDP too" sh -c "echo '$(source_of pieces .detail)' | grep -q 'in pieces'"
send "$work/long.pcap" long
send "$work/long.pcap" pieces
sleep 2.5
# 50 of each: 62 bytes of headers, and the payloads, which add up to 32,857
same "long frames, counted by the tap" "[400,$((50 * (8 * 62 + 32857)))]" "$(source_of long '[.received, .bytes]' | jq -c .)"
same "long frames, put together again" "[400,$((50 * (8 * 62 + 32857)))]" "$(source_of pieces '[.received, .bytes]' | jq -c .)"
same "nothing was too long" 0 "$(source_of pieces '[.dropped[]] | add')"
stop "$observer"

# --- an interface that goes away and comes back ------------------------------------------------------------
pair tap
pair frames
observe life -i tap:xdp -i frames:afxdp
both() { [ "$(source_of tap .up) $(source_of frames .up)" = "$1 $1" ]; }
files_before=$(find "/proc/$observer/fd" | wc -l)
send "$work/gen.pcap" tap
send "$work/gen.pcap" frames
for name in tap frames; do ip -n "$node" link del dev "$name"; done
check "removed: both go down" wait_for 5 both false
says() { source_of tap .detail | grep -q "$1"; }
check "and say why" wait_for 5 says "the interface is gone"
pair tap
pair frames
check "made again: both come back" wait_for 5 both true
send "$work/gen.pcap" tap
send "$work/gen.pcap" frames
for name in tap frames; do
	ip -n "$node" link set dev $name down
	ip -n "$node" link set dev $name name other
	sleep 2.5
	[ "$(source_of $name .up)" = false ] || not_ok "$name: renamed, but up"
	no_program other || not_ok "$name: a program stays on the renamed interface"
	ip -n "$node" link set dev other name $name
	ip -n "$node" link set dev $name up
done
check "renamed and back: both come back" wait_for 5 both true
send "$work/gen.pcap" tap
send "$work/gen.pcap" frames
for name in tap frames; do ip -n "$node" link set dev $name down; done
check "without a link: both are down" wait_for 5 both false
for name in tap frames; do ip -n "$node" link set dev $name up; done
check "with a link again: both are up" wait_for 5 both true
send "$work/gen.pcap" tap
send "$work/gen.pcap" frames
sleep 2.5
for name in tap frames; do
	same "$name: four times all, over three interruptions" "$(meant 4)" "$(source_of $name '[.received, .bytes]' | jq -c .)"
done
same "no file stays open" "$files_before" "$(find "/proc/$observer/fd" | wc -l)"
ip -n "$node" address add 192.0.2.9/24 dev tap
passes_on() { source_of tap .detail | grep -q 'passing on'; }
check "given an address, it is no mirror port any more" wait_for 10 passes_on
stop "$observer"
no_program tap && no_program frames || not_ok "a program stays after an orderly stop"

# --- a queue that appears later ----------------------------------------------------------------------------
pair many 1500 2
in_ns "$wire" ethtool -L to_many rx 1 tx 1
in_ns "$node" ethtool -L many rx 1 tx 1
observe many -i many:afxdp
check "one queue first" sh -c "echo '$(source_of many .detail)' | grep -q '1 receive queue'"
in_ns "$node" ethtool -L many rx 2
in_ns "$wire" ethtool -L to_many tx 2
sleep 1
for cpu in 0 1; do nsenter --net=/run/netns/"$wire" taskset -c $cpu "$scitag" replay "$work/gen.pcap" -i to_many --rate 20000 2>>"$work/replay.log"; done
sleep 2.5
same "all frames of both are counted" "$(meant 2)" "$(source_of many '[.received, .bytes]' | jq -c .)"
check "and the second queue had its share" test "$(in_ns "$node" ethtool -S many | awk '/rx_queue_1_xdp_packets/ {print $2}')" -gt 0
stop "$observer"

# --- nothing is lost to those who are watched ----------------------------------------------------------------
pair host
for pair in "$node host 1" "$wire to_host 2"; do
	set -- $pair
	in_ns "$1" sh -c "echo 0 >/proc/sys/net/ipv6/conf/$2/disable_ipv6"
	ip -n "$1" address add "2001:db8:5::$3/64" dev "$2" nodad
done
wait_for 5 in_ns "$wire" ping -6 -c 1 -W 1 2001:db8:5::1
cycles=${XDP_CYCLES:-20}
start "$work/ping" nsenter --net=/run/netns/"$wire" ping -6 -q -i 0.005 2001:db8:5::1
ping=$started
attached=0
for _ in $(seq "$cycles"); do
	observe ping -i host:xdp
	no_program host || attached=$((attached + 1))
	stop "$observer"
done
sleep 0.2
stop "$ping" INT
same "the tap was there in every one of $cycles cycles" "$cycles" "$attached"
grep -q ' 0% packet loss' "$work/ping" || sed 's/^/  # /' "$work/ping"
same "and a ping lost nothing: $(sed -n 's/ packets transmitted.*//p' "$work/ping") sent" 1 "$(grep -c ' 0% packet loss' "$work/ping")"

kills=${XDP_KILLS:-5}
left=0
pair gone
"$scitag" gen pcap --seed 7 --packets 50000 --out "$work/flood.pcap" 2>/dev/null
start "$work/flood" nsenter --net=/run/netns/"$wire" "$scitag" replay "$work/flood.pcap" -i to_gone --rate 50000 --loop --duration 300s
flood=$started
start "$work/ping" nsenter --net=/run/netns/"$wire" ping -6 -q -i 0.005 2001:db8:5::1
ping=$started
for i in $(seq "$kills"); do
	case $((i % 2)) in
	0) observe kill -i gone:xdp -i host:xdp ;;
	1) observe kill -i gone:afxdp -i host:xdp ;;
	esac
	: >"$work/all"
	for name in gone host; do
		id=$(program_of $name)
		everything_of "$id"
		[ -s "$work/maps" ] || not_ok "bpftool shows no maps of the running program"
		mv "$work/maps" "$work/maps.$name"
		mv "$work/links" "$work/links.$name"
		echo "$name $id" >>"$work/all"
	done
	stop "$observer" KILL
	while read -r name id; do
		mv "$work/maps.$name" "$work/maps"
		mv "$work/links.$name" "$work/links"
		wait_for 5 is_gone "$id" || left=$((left + 1))
		no_program "$name" || left=$((left + 1))
	done <"$work/all"
done
stop "$flood" INT
sleep 0.2
stop "$ping" INT
same "killed under traffic $kills times: no program, map or link is left" 0 "$left"
grep -q ' 0% packet loss' "$work/ping" || sed 's/^/  # /' "$work/ping"
same "and the ping lost nothing: $(sed -n 's/ packets transmitted.*//p' "$work/ping") sent" 1 "$(grep -c ' 0% packet loss' "$work/ping")"
same "and nothing was pinned" "" "$(find /sys/fs/bpf -mindepth 1 -name '*tap*' 2>/dev/null)"
finish
