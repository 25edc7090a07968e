#!/bin/sh
# The page in headless Chromium over a running observer: numbers, live tick, stale and back, looks.
# Pictures go to $BIN/screenshots. Ports are free ones on 127.0.0.1; needs no root.
. tests/e2e/lib.sh
command -v node >/dev/null || { skip "browser: node is missing" && exit 0; }
[ -x "${CHROMIUM:-/usr/bin/chromium}" ] || { skip "browser: chromium is missing" && exit 0; }
export BIN

for part in colours model; do
	node tests/browser/$part.mjs || failures=$((failures + 1))
done
for part in now rehearsal; do
	mkdir "$work/$part"
	start "$work/$part.log" node tests/browser/$part.mjs "$work/$part"
	wait "$started" || failures=$((failures + 1))
	cat "$work/$part.log"
done
mkdir -p "$BIN/screenshots" && cp "$work"/now/*.png "$BIN/screenshots/" 2>/dev/null
finish
