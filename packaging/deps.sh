#!/bin/sh
# Install the Debian packages that are missing, and nothing else. Everything comes from Debian 12;
# node and npm are taken as they are when the machine has them already.
set -eu
cd "$(dirname "$0")/.."
missing=
for package in $(sed 's/#.*//' packaging/debian-packages.txt); do
	dpkg-query -W -f='${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed' || missing="$missing $package"
done
command -v node >/dev/null 2>&1 || missing="$missing nodejs"
command -v npm >/dev/null 2>&1 || missing="$missing npm"
[ -z "$missing" ] && exit 0
if [ "$(id -u)" -ne 0 ]; then
	echo "deps: missing:$missing" >&2
	echo "deps: run as root: apt-get install$missing" >&2
	exit 4
fi
echo "deps: installing$missing"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { apt-get update && apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1; then
	tail -n 30 "$log" >&2
	echo "deps: apt-get install failed:$missing" >&2
	exit 1
fi
