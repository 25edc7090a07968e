#!/bin/sh
# The include map of the house: who may include whom. A line that is not allowed is printed.
# Also: no foreign byte is read by a cast where the cursor belongs, no innerHTML on the page.
set -u
cd "$(dirname "$0")/.." || exit 1
bad=0
allow() { # allow ROOM "rooms it may include"
	for f in "$1"/*.[ch]; do
		[ -f "$f" ] || continue
		for used in $(sed -n 's|^#include "\([a-z]*\)/.*|\1|p' "$f" | sort -u); do
			case " $1 $2 " in
			*" $used "*) ;;
			*) echo "$f may not include $used/" && bad=1 ;;
			esac
		done
	done
}
allow base ""
allow wire ""
allow sflow "wire base"
allow firefly "wire base"
allow registry "wire base"
allow xdp "wire base"
allow store "wire base"
allow join "store registry firefly wire base"
allow web "join store registry wire base"
allow observer "join web store registry xdp sflow firefly wire base"
allow marker "firefly registry wire base"
allow cli "join observer marker store registry xdp sflow firefly wire base"
for f in $(git ls-files '*.c' '*.h' 2>/dev/null); do
	case $f in
	firefly/parse.c | registry/*.c | join/sites*.c | web/*.[ch] | cli/*.[ch] | marker/*.c | tests/*) ;;
	*) grep -Hn '#include <jansson.h>' "$f" && echo "$f: a JSON reader lives in firefly/ and registry/ only" && bad=1 ;;
	esac
	case $f in
	store/sqlite*.c | tests/*) ;;
	*) grep -Hn '#include <sqlite3.h>' "$f" && bad=1 ;;
	esac
	case $f in
	web/http.c | marker/http.c | tests/*) ;;
	*) grep -Hn '#include <microhttpd.h>' "$f" && bad=1 ;;
	esac
done
if grep -rnE 'innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(' web/static --include='*.ts' --include='*.html' --exclude-dir=node_modules; then
	echo "the page makes text nodes only" && bad=1
fi
exit $bad
