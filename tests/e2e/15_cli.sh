#!/bin/sh
# The scitag tool as its user meets it: decode, encode, registry, check, doctor, completion.
. tests/e2e/lib.sh
scitag="$BIN/scitag"
export XDG_CACHE_HOME="$work/cache" HOME="$work"
unset http_proxy https_proxy

# --- the front door
check "--help lists every verb with a sentence" sh -c '
	for v in decode encode registry read check doctor completion; do
		"$0" --help | grep -qE "^  $v +[A-Z].{20}" || { echo "$v is missing"; exit 1; }
		"$0" $v --help | grep -q "^Usage: scitag $v" || { echo "$v --help"; exit 1; }
		"$0" help $v | grep -q "^Usage: scitag $v" || { echo "help $v"; exit 1; }
	done' "$scitag"
same "--version is the changelog's" "scitag $(sed -n 's/^## \([0-9][^ ]*\).*/\1/p' CHANGELOG.md | head -n 1)" \
	"$("$scitag" --version)"
exits "no verb is a usage error" 2 "$scitag"
exits "an unknown verb is one, too" 2 "$scitag" deocde
check "and the nearest is named" grep -q "did you mean 'decode'" "$work/exits.out"
exits "a full disk is no success" 1 sh -c '"$0" registry >/dev/full' "$scitag"
same "no colour where there is no terminal" 0 "$("$scitag" decode 206 | tr -dc '\033' | wc -c)"
if command -v script >/dev/null; then
	same "colour on a terminal" yes \
		"$(TERM=xterm script -qec "$scitag decode 206" /dev/null | grep -q "$(printf '\033\\[1m')" && echo yes)"
	same "but not with NO_COLOR" 0 \
		"$(NO_COLOR=1 TERM=xterm script -qec "$scitag decode 206" /dev/null | tr -dc '\033' | wc -c)"
else
	skip "colour on a terminal: script(1) is not there"
fi

# --- decode and encode against an implementation of the draft's bit order in Python
first() { "$scitag" decode --json "$@" | jq -rc '.[0] | "\(.as) \(.experiment_id)/\(.activity_id) \(.registered)"'; }
same "a label in hexadecimal" "label 3/14 true" "$(first 0xb0138)"
same "a label in decimal" "label 3/14 true" "$(first 196664)"
same "a scitag.flow number" "scitag 3/14 true" "$(first 206)"
same "a pair by names" "pair 3/14 true" "$(first 'cms:"Analysis Input"')"
same "a pair with a dot" "pair 3/14 true" "$(first 3.14)"
same "an option with its header" "option 3/14 true" "$(first 06001e0300030e00)"
same "the old form in three bytes" "option 3/14 true" "$(first 06001e0307013b00)"
same "the old form in four bytes" "option 3/14 true" "$(first 06001f0407013b00)"
same "bytes the shell took apart" "option 3/14 true" "$(first 1e 03 00 03 0e)"
same "values from standard input" "label 3/14 true,scitag 2/1 true" \
	"$(printf '0xb0138\n\n129\n' | "$scitag" decode --json - |
		jq -r '[.[] | select(.registered) | "\(.as) \(.experiment_id)/\(.activity_id) true"] | join(",")')"
check "a label sent as a number is recognised" sh -c '"$0" decode 196664 | grep -q "by mistake? that would be 206"' "$scitag"
exits "nonsense is a failure" 1 "$scitag" decode nonsense
exits "no value is a usage error" 2 "$scitag" decode
exits "--json and --csv exclude each other" 2 "$scitag" decode --json --csv 1

"$scitag" registry --csv >"$work/registry.csv"
check "every registered pair, in every form, as Python has it" /usr/bin/python3 - "$work/registry.csv" <<'PY'
import csv, sys
rows = list(csv.DictReader(open(sys.argv[1], newline="")))
assert len(rows) == 114, len(rows)
for r in rows:
    e, a = int(r["experiment_id"]), int(r["activity_id"])
    label = int(format(e, "09b")[::-1], 2) << 9 | a << 2
    assert r["label"] == "0x%05x" % label, r
    assert r["option"] == "1e03%04x%02x" % (e, a), r
    assert int(r["scitag"]) == e * 64 + a, r
PY
cut -d, -f5 "$work/registry.csv" | tr -d '\r' | sed 1d | "$scitag" decode --csv - >"$work/decoded.csv"
same "and decoded again" 114 "$(grep -c ',label,[0-9]*,[0-9]*,[a-z]*,[^,]*,true,0x00000,' "$work/decoded.csv")"
same "encode by names" 0x30038 "$("$scitag" encode CMS analysis-input --only label)"
same "encode by numbers" 1e0300030e "$("$scitag" encode 3 14 --only option)"
same "encode with entropy" 0xb0138 "$("$scitag" encode cms/14 --entropy 0x80100 --only label)"
same "random entropy stays in its five bits" 0x30038 "$(printf '0x%05x' \
	$(($("$scitag" encode cms 14 -e random --only label) & ~0xc0103)))"
exits "entropy elsewhere is refused" 2 "$scitag" encode cms 14 --entropy 0x4
exits "an experiment no label can say has none" 1 "$scitag" encode 512 1 --only label
same "but an option and a number" 32769 "$("$scitag" encode 512 1 --only scitag 2>/dev/null)"
exits "an unknown name is a failure" 1 "$scitag" encode cms "analsis input"
check "and the nearest is named" grep -q "did you mean 'Analysis Input'" "$work/exits.out"

# --- the registry, against a server
same "one experiment" 4 "$("$scitag" registry show LSST --json | jq length)"
same "an activity of every experiment that has it" 11 "$("$scitag" registry show 'Data Challenge' --json | jq length)"
exits "an unknown one is a failure" 1 "$scitag" registry show cmss
check "and the nearest is named" grep -q "did you mean 'cms'" "$work/exits.out"
mkdir "$work/www"
jq '.modified |= sub("2025"; "2026") | .experiments[2].activities += [{activityId: 25, activityName: "New Thing"}]' \
	registry/scitags.json >"$work/www/new.json"
jq 'del(.experiments[13])' registry/scitags.json >"$work/www/small.json"
echo '{' >"$work/www/broken.json"
start "$work/www.log" /usr/bin/python3 -u -m http.server --bind 127.0.0.1 --directory "$work/www" 0
wait_for 10 grep -q 'port [0-9]' "$work/www.log"
url="http://127.0.0.1:$(sed -n 's/.*port \([0-9]*\).*/\1/p' "$work/www.log")"
same "diff with a URL" "+ 3/25 cms New Thing" "$("$scitag" registry diff "$url/new.json")"
same "diff of two files" "- 3/25 cms New Thing" "$("$scitag" registry diff "$work/www/new.json" registry/scitags.json)"
exits "diff with what is not there" 1 "$scitag" registry diff "$url/none.json"
cache="$work/kept.json"
exits "update takes a new document" 0 "$scitag" registry update --url "$url/new.json" --cache "$cache"
check "and keeps it" cmp "$cache" "$work/www/new.json"
exits "update refuses a broken one" 1 "$scitag" registry update --url "$url/broken.json" --cache "$cache"
exits "and a shrunken one" 1 "$scitag" registry update --url "$url/small.json" --cache "$cache"
check "with the reason" grep -q 'fewer experiments' "$work/exits.out"
check "and the kept one stays" cmp "$cache" "$work/www/new.json"
exits "unless it is forced" 0 "$scitag" registry update --force --url "$url/small.json" --cache "$cache"
same "then it is smaller" 13 "$("$scitag" registry --registry "$cache" --json | jq '[.[].experiment_id] | unique | length')"
exits "without a network it fails" 1 "$scitag" registry update --url http://127.0.0.1:1/ --cache "$cache"

# --- check
printf 'plugins: {namedPipe: {}}\n' >"$work/marker.yaml"
printf 'http: {listen: ":0"}\n' >"$work/observer.yaml"
printf 'http: {listen: nowhere}\n' >"$work/bad.yaml"
printf '\324\303\262\241\2\0\4\0\0\0\0\0\0\0\0\0\0\0\4\0\1\0\0\0\1\0\0\0' >"$work/cut.pcap"
kind() { "$scitag" check --json "$1" 2>/dev/null | jq -r '.[0] | "\(.kind) \(.sound)"'; }
same "a registry" "registry true" "$(kind registry/scitags.json)"
same "a shrunken registry" "registry false" "$(kind "$work/www/small.json")"
same "an observer's configuration" "configuration true" "$(kind "$work/observer.yaml")"
same "a marker's configuration" "configuration true" "$(kind "$work/marker.yaml")"
cat >"$work/conf.yaml" <<'YAML'
pidPath: /var/run/flowd-go.pid
workDir: /var/cache/flowd-go
plugins:
  namedPipe: {maxReaders: 5, buffSize: 1000, pipePath: np}
backends:
  marker:
    targetInterfaces: ["lo"]
    markingStrategy: hopbyhop
YAML
same "flowd-go's configuration is a marker's" "of scitag-marker" \
	"$("$scitag" check --json "$work/conf.yaml" 2>/dev/null | jq -r '.[0].found')"
exits "a bad configuration" 3 "$scitag" check "$work/bad.yaml"
check "is said with its place" grep -q 'bad.yaml:1:16: http.listen: ' "$work/exits.out"
exits "a torn capture" 5 "$scitag" check "$work/cut.pcap"
exits "a program" 1 "$scitag" check "$scitag"
exits "a missing file" 1 "$scitag" check "$work/none"

# --- doctor and completion
"$scitag" doctor --json >"$work/doctor.json"
same "the doctor has seen all it looks for" true \
	"$(jq '[.[].check] | contains(["kernel", "capabilities", "XDP", "AF_XDP", "tc", "clock", "sFlow port", "receive buffer"])' "$work/doctor.json")"
same "what is lacking has a remedy" 0 \
	"$(jq '[.[] | select(.verdict != "ok" and .remedy == null)] | length' "$work/doctor.json")"
if [ "$(id -u)" -eq 0 ]; then
	chmod 755 "$work"
	cp "$scitag" "$work/scitag" && chmod 755 "$work/scitag"
	(cd / && setpriv --reuid 65534 --regid 65534 --clear-groups "$work/scitag" doctor --json) >"$work/nobody.json"
	same "without rights the kernel's features are unknown, not lacking" unknown \
		"$(jq -r '.[] | select(.check == "XDP") | .verdict' "$work/nobody.json")"
else
	skip "the doctor without rights: needs root to become somebody else"
fi
"$scitag" completion bash >"$work/completion"
check "completion is sound bash" bash -n "$work/completion"
same "it completes verbs and options" "registry read replay / --registry" "$(bash -c '
	. "$0"
	COMP_WORDS=(scitag re) COMP_CWORD=1
	_scitag
	echo -n "${COMPREPLY[*]} / "
	COMP_WORDS=(scitag decode --reg) COMP_CWORD=2
	_scitag
	echo "${COMPREPLY[*]}"' "$work/completion")"
if command -v groff >/dev/null; then
	same "the manual page is sound roff" "" "$("$scitag" --man | groff -man -Tutf8 -ww -z 2>&1)"
else
	skip "the manual page: groff is not there"
fi
exits "of a shell that is not known" 2 "$scitag" completion tcsh
finish
