#!/bin/sh
# run.sh KIND PROGRAM...: run test programs one after the other and count.
# Unit and bpf programs are cmocka's: each reports its own cases on its closing lines. A fuzz target
# is one case. An e2e script prints its cases as "ok - what", "not ok - what", "skip - what: why" and
# is one failed case when it ends badly without having said so.
# Ends with a line of totals; TALLY=FILE also appends "passed failed skipped" to FILE.
set -u
kind=$1
shift
passed=0 failed=0 skipped=0
out=$(mktemp)
trap 'rm -f "$out"' EXIT
for program in "$@"; do
	name=$(basename "$program")
	start=$(date +%s)
	status=0
	case $kind in
	unit | bpf)
		CMOCKA_MESSAGE_OUTPUT=TAP timeout 900 "$program" >"$out" 2>&1 || status=$?
		# cmocka says "not ok 4 # SKIP name" of a skipped case
		skip=$(grep -cE '^(not )?ok .*# *SKIP' "$out")
		ok=$(grep '^ok ' "$out" | grep -vc '# *SKIP')
		bad=$(grep '^not ok ' "$out" | grep -vc '# *SKIP')
		;;
	fuzz)
		corpus=tests/fuzz/corpus/${name#fuzz_}
		work=$(mktemp -d)
		mkdir -p "$corpus"
		"$program" -max_total_time="${FUZZ_SECONDS:-10}" -timeout=10 -rss_limit_mb=2048 \
			-artifact_prefix="$work/" "$work" "$corpus" >"$out" 2>&1 || status=$?
		ok=0 bad=0 skip=0
		if [ $status -eq 0 ]; then
			ok=1
		else
			echo "the input that broke it: $(ls "$work"/crash-* "$work"/timeout-* "$work"/oom-* 2>/dev/null | head -1 | xargs -r xxd -p | tr -d '\n')" >>"$out"
		fi
		rm -rf "$work"
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
	printf '%-5s %-32s %4d passed %3d failed %3d skipped  %4ds\n' "$kind" "$name" "$ok" "$bad" "$skip" \
		$(($(date +%s) - start))
	[ "$bad" -gt 0 ] && tail -n 120 "$out" | sed 's/^/    /'
	[ "$skip" -gt 0 ] && grep -E '^skip - |# *SKIP' "$out" | sed 's/^/    /'
	passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
done
[ -n "${TALLY:-}" ] && echo "$passed $failed $skipped" >>"$TALLY"
echo "$kind: $passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
