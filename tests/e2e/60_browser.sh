#!/bin/sh
# The page in headless Chromium over a running observer: numbers, live tick, stale and back, every page, looks.
# Pictures go to $BIN/screenshots. Ports are free ones on 127.0.0.1; needs no root.
# SCREENSHOTS=DIR makes those of the documents, too: every page, light and dark, after 20 minutes of traffic.
. tests/e2e/lib.sh
command -v node >/dev/null || { skip "browser: node is missing" && exit 0; }
[ -x "${CHROMIUM:-/usr/bin/chromium}" ] || { skip "browser: chromium is missing" && exit 0; }
export BIN

for part in colours model parts pairs frame; do # frame measures: nothing beside it
	node tests/browser/$part.mjs || failures=$((failures + 1))
done
parts="pages now rehearsal packets joined" # each with an observer of its own; they wait more than they work
for part in $parts; do
	mkdir "$work/$part"
	start "$work/$part.log" node tests/browser/$part.mjs "$work/$part"
	eval "pid_$part=$started"
	[ $part != pages ] || wait_for 20 grep -q "first paint" "$work/pages.log" # measured alone
done
for part in $parts; do
	eval "wait \$pid_$part" || failures=$((failures + 1))
	cat "$work/$part.log"
done
mkdir -p "$BIN/screenshots" && cp "$work"/now/*.png "$BIN/screenshots/" 2>/dev/null
if [ -n "${SCREENSHOTS:-}" ]; then
	mkdir "$work/pictures"
	start "$work/pictures.log" node tests/browser/pictures.mjs "$work/pictures" "$SCREENSHOTS"
	wait "$started" || failures=$((failures + 1))
	cat "$work/pictures.log"
fi
finish
