#!/bin/sh
# build.sh OUTDIR: checks the types, bundles the page, leaves each file there with a .gz beside it.
# Fetches the packages of package-lock.json when they are missing or older than it.
set -eu
[ $# -eq 1 ] || { echo "usage: build.sh OUTDIR" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")"

stamp=node_modules/.package-lock.json # npm writes it last
if [ ! -e $stamp ] || [ package-lock.json -nt $stamp ]; then
	log=$(npm ci --no-audit --no-fund 2>&1) || {
		printf '%s\n' "$log" >&2
		echo "page: npm ci failed; is the npm registry reachable?" >&2
		exit 1
	}
	touch $stamp
fi
bin=node_modules/.bin
$bin/tsc --noEmit -p .
$bin/esbuild main.ts --bundle --minify --format=esm --target=es2021,chrome100,firefox100,safari15 \
	--charset=utf8 --loader:.md=text --legal-comments=none --log-level=warning --outfile="$out/app.js"
cp index.html favicon.svg "$out/"
node map.mjs "$out/map.json"
for package in uplot d3-array d3-geo d3-path d3-sankey d3-shape internmap topojson-client world-atlas; do
	printf '%s\n\n' "--- $package ---"
	cat "node_modules/$package/LICENSE"
	echo
done >"$out/notices.txt" # what their licences ask for
for f in index.html app.js app.css favicon.svg map.json notices.txt; do
	if command -v zopfli >/dev/null; then # the same format, some percent smaller
		zopfli --i5 "$out/$f"
	else
		gzip -9nkf "$out/$f"
	fi
done
