#!/bin/sh
# Foreign filters, crashes, restarts, flows that come and go. See marker_life.py.
[ "$(id -u)" = 0 ] || { echo "skip - marker, life: needs root"; exit 0; }
cd "$(dirname "$0")" && exec /usr/bin/python3 marker_life.py
