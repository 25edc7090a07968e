# What the end-to-end scripts share; sourced, not run. Sets $work (removed at the end) and $failures.
# A script ends with `finish`. Everything it starts through `start` is ended by process id.
BIN=${BIN:-$PWD/build}
work=$(mktemp -d)
failures=0
pids=
namespaces=
cleanup() {
	status=$?
	trap - EXIT INT TERM
	for pid in $pids; do kill "$pid" 2>/dev/null; done
	for pid in $pids; do wait "$pid" 2>/dev/null; done
	for ns in $namespaces; do ip netns del "$ns" 2>/dev/null; done
	rm -rf "$work"
	exit $status
}
trap cleanup EXIT
trap 'exit 130' INT TERM

ok() { echo "ok - $*"; }
not_ok() {
	echo "not ok - $*"
	failures=$((failures + 1))
}
skip() { echo "skip - $*"; }
finish() { [ "$failures" -eq 0 ] && exit 0 || exit 1; }
# check WHAT COMMAND...: one case; what the command says is shown when it fails
check() {
	what=$1
	shift
	if "$@" >"$work/check.out" 2>&1; then ok "$what"; else
		not_ok "$what"
		sed 's/^/  # /' "$work/check.out" | head -n 40
	fi
}
# same WHAT EXPECTED FOUND
same() {
	if [ "$2" = "$3" ]; then ok "$1"; else
		not_ok "$1"
		printf '  # expected: %s\n  # found:    %s\n' "$2" "$3" | cut -c1-400
	fi
}
# exits WHAT CODE COMMAND...: the command ends with this code
exits() {
	what=$1 code=$2
	shift 2
	"$@" >"$work/exits.out" 2>&1
	found=$?
	if [ $found -eq "$code" ]; then ok "$what (exit $code)"; else
		not_ok "$what: exit $found instead of $code"
		sed 's/^/  # /' "$work/exits.out" | head -n 20
	fi
}
start() { # start LOG COMMAND...: in the background; $started is its process id
	log=$1
	shift
	"$@" >"$log" 2>&1 &
	started=$!
	pids="$pids $started"
}
stop() { # stop PID [SIGNAL]: ends it and waits; $stopped is its exit code
	kill -"${2:-TERM}" "$1" 2>/dev/null
	wait "$1" 2>/dev/null
	stopped=$?
	pids=$(echo "$pids" | tr ' ' '\n' | grep -vx "$1" | tr '\n' ' ')
}
namespace() { # namespace NAME: made with lo up; $ns is its unique name
	ns=st$$$1
	ip netns add "$ns" && namespaces="$namespaces $ns"
	ip -n "$ns" link set lo up
}
in_ns() { # in_ns NS COMMAND...
	target=$1
	shift
	nsenter --net=/run/netns/"$target" "$@"
}
wait_for() { # wait_for SECONDS COMMAND...: until it succeeds
	tries=$(($1 * 10))
	shift
	while ! "$@" >/dev/null 2>&1; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
		sleep 0.1
	done
}
need_root() {
	[ "$(id -u)" -eq 0 ] || {
		skip "$(basename "$0"): needs root for network namespaces"
		exit 0
	}
}
