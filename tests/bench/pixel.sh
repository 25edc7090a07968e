#!/bin/sh
# From a datagram to the pixel that shows it.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
node "$(dirname "$0")/pixel.mjs" "$work"
