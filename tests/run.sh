#!/bin/sh
# run.sh KIND PROGRAM...: run test programs and count. Unit tests, fuzz targets and simulations run two at a time, the
# others, which share the kernel or the machine's speed, one after the other.
# Unit, day and bpf programs are cmocka's: each reports its own cases on its closing lines. A fuzz target
# is one case. An e2e script prints its cases as "ok - what", "not ok - what", "skip - what: why" and
# is one failed case when it ends badly without having said so.
# Ends with a line of totals; TALLY=FILE also appends "passed failed skipped" to FILE.
set -u
kind=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

run_one() { # run_one NUMBER PROGRAM: its report in $work/NUMBER, its counts in $work/NUMBER.counts
	program=$2
	name=$(basename "$program")
	start=$(date +%s)
	out=$work/$1.out
	status=0
	case $kind in
	unit | day | bpf)
		CMOCKA_MESSAGE_OUTPUT=TAP timeout 900 "$program" >"$out" 2>&1 || status=$?
		# cmocka says "not ok 4 # SKIP name" of a skipped case
		skip=$(grep -cE '^(not )?ok .*# *SKIP' "$out")
		ok=$(grep '^ok ' "$out" | grep -vc '# *SKIP')
		bad=$(grep '^not ok ' "$out" | grep -vc '# *SKIP')
		;;
	fuzz)
		corpus=tests/fuzz/corpus/${name#fuzz_}
		found=$work/$1.found
		mkdir -p "$corpus" "$found"
		"$program" -max_total_time="${FUZZ_SECONDS:-10}" -timeout=10 -rss_limit_mb=2048 \
			-artifact_prefix="$found/" "$found" "$corpus" >"$out" 2>&1 || status=$?
		ok=0 bad=0 skip=0
		if [ $status -eq 0 ]; then
			ok=1
		else
			echo "the input that broke it: $(ls "$found"/crash-* "$found"/timeout-* "$found"/oom-* 2>/dev/null | head -1 | xargs -r xxd -p | tr -d '\n')" >>"$out"
		fi
		;;
	e2e)
		timeout 900 sh "$program" >"$out" 2>&1 || status=$?
		ok=$(grep -c '^ok - ' "$out")
		bad=$(grep -c '^not ok - ' "$out")
		skip=$(grep -c '^skip - ' "$out")
		;;
	esac
	[ $status -ne 0 ] && [ "$bad" -eq 0 ] && bad=1
	[ $status -eq 0 ] && [ $((ok + bad + skip)) -eq 0 ] && bad=1 && echo "$name ran no case" >>"$out"
	echo "$ok $bad $skip" >"$work/$1.counts"
	{
		printf '%-5s %-32s %4d passed %3d failed %3d skipped  %4ds\n' "$kind" "$name" "$ok" "$bad" "$skip" \
			$(($(date +%s) - start))
		[ "$bad" -gt 0 ] && tail -n 120 "$out" | sed 's/^/    /'
		[ "$skip" -gt 0 ] && grep -E '^skip - |# *SKIP' "$out" | sed 's/^/    /'
	} >"$work/$1"
}

lanes=1
case $kind in unit | fuzz | day) lanes=2 ;; esac
n=0
for program in "$@"; do
	n=$((n + 1))
	run_one $n "$program" &
	[ $((n % lanes)) -eq 0 ] || [ $n -eq $# ] || continue
	wait
	for i in $(seq $((n - (n - 1) % lanes)) $n); do
		cat "$work/$i"
	done
done
set -- $(cat "$work"/*.counts 2>/dev/null | awk '{p += $1; f += $2; s += $3} END {print p + 0, f + 0, s + 0}')
[ -n "${TALLY:-}" ] && echo "$1 $2 $3" >>"$TALLY"
echo "$kind: $1 passed, $2 failed, $3 skipped"
[ "$2" -eq 0 ]
