#!/bin/sh
# Everything, from a bare machine: dependencies, build, lint, units, fuzz, kernel programs, namespaces,
# browser. Goes on after a failed part, so that one run tells all; ends with the plain closing line.
set -u
cd "$(dirname "$0")/.." || exit 1
TALLY=$(mktemp)
export TALLY
trap 'rm -f "$TALLY"' EXIT
jobs=$(nproc)
make_() { make --no-print-directory "$@"; }
part() { # part NAME TARGET...: a part that breaks before it counts is one failure
	name=$1
	shift
	before=$(wc -l <"$TALLY")
	if ! make_ "$@"; then
		[ "$(wc -l <"$TALLY")" -eq "$before" ] && echo "0 1 0" >>"$TALLY" && echo "$name: broke"
	elif [ "$(wc -l <"$TALLY")" -eq "$before" ]; then
		echo "1 0 0" >>"$TALLY"
	fi
}
part deps deps
part build -j"$jobs" all
part lint -j"$jobs" lint
make_ -k -j"$jobs" tests-built
part unit check
part fuzz fuzz FUZZ_SECONDS="${FUZZ_SECONDS:-5}"
part day day
part bpf bpf
part e2e e2e
awk '{p += $1; f += $2; s += $3} END {printf "%d passed, %d failed, %d skipped\n", p, f, s; exit f > 0}' "$TALLY"
