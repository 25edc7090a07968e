#!/bin/sh
# Every input of the marker marks the right packets on the wire; floods and full tables harm none. See
# marker_inputs.py.
[ "$(id -u)" = 0 ] || { echo "skip - marker, inputs: needs root"; exit 0; }
cd "$(dirname "$0")" && exec /usr/bin/python3 marker_inputs.py
