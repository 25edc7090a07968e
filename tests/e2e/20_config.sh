#!/bin/sh
# The observer's configuration as its user meets it: what is refused, where, and with which exit code.
. tests/e2e/lib.sh
need_root
observer="$BIN/scitag-observer"

cat >"$work/bad.yaml" <<'EOF'
interface: [eth1]
sflow: {listen: [":70000"]}
database:
  max_size: lots
  kep_10s: 24h
log: {level: loud}
flows: {drop_local: some, max: 5}
firefly: {relays: [relay.example.org]}
sites: {own: ["2001:db8::/32", "SITE-A=2001:db8::/200"]}
points: {oder: [eth1]}
EOF
"$observer" --conf "$work/bad.yaml" --check >"$work/out" 2>&1
same "a wrong configuration ends with 3" 3 $?
for expected in 'bad.yaml:1:1: .*interfaces' 'bad.yaml:2:1[0-9]: ' 'bad.yaml:4:13: ' \
	'bad.yaml:5:3: .*keep_10s' 'bad.yaml:6:14: ' 'bad.yaml:7:21: ' 'bad.yaml:7:32: ' 'bad.yaml:8:20: .*address' \
	'bad.yaml:9:15: .*NAME=PREFIX' 'bad.yaml:9:32: .*NAME=PREFIX' 'bad.yaml:10:10: .*order'; do
	check "all errors in one run, with place and suggestion: $expected" grep -qE "$expected" "$work/out"
done
[ "$failures" -gt 0 ] && sed 's/^/  # /' "$work/out"

"$observer" --dump --http 127.0.0.1:0 --site 2001:db8::/32 >"$work/dumped.yaml"
check "what --dump prints is read back" "$observer" --conf "$work/dumped.yaml" --check
"$observer" --conf "$work/dumped.yaml" --dump >"$work/again.yaml"
check "and says the same" cmp "$work/dumped.yaml" "$work/again.yaml"
exits "an unknown option is a usage error" 2 "$observer" --sflw :6343
check "with the nearest one named" grep -q -- --sflow "$work/exits.out"

db="sqlite:$work/o.db"
quiet="--http 127.0.0.1:0 --db $db"
exits "a missing interface names itself" 4 "$observer" $quiet -i nosuch0:pcap
check "nosuch0 is in the message" grep -q nosuch0 "$work/exits.out"
python3 -c 'import socket,time
s=socket.socket(socket.AF_INET6,socket.SOCK_DGRAM); s.bind(("::1",0)); print(s.getsockname()[1],flush=True); time.sleep(60)' >"$work/port" &
holder=$!
pids="$pids $holder"
wait_for 5 test -s "$work/port"
port=$(cat "$work/port")
exits "a taken port names itself" 4 "$observer" $quiet --sflow "[::1]:$port"
check "the port is in the message" grep -q ":$port" "$work/exits.out"
exits "a taken firefly port too" 4 "$observer" $quiet --firefly "[::1]:$port"
exits "a database that cannot be made" 1 "$observer" --http 127.0.0.1:0 --db sqlite:/proc/nowhere/o.db
finish
