#!/bin/sh
# The expectations of the packet vectors, held against an independent dissector.
. tests/e2e/lib.sh
if ! command -v tshark >/dev/null; then
	skip "packet vectors against tshark: it is not installed"
	finish
fi
python=/usr/bin/python3
if ! $python tests/vectors/tshark.py "$work" 2>"$work/err"; then
	not_ok "tshark.py"
	sed 's/^/  # /' "$work/err"
fi
$python tests/vectors/packets.py >"$work/packets.tsv"
same "packets.tsv is what packets.py writes" "$(cksum <tests/vectors/packets.tsv)" "$(cksum <"$work/packets.tsv")"
finish
