#!/bin/sh
# What the inputs take in a second, each alone and all at once: see marker_inputs.py.
[ "$(id -u)" = 0 ] || { echo "skip - marker, inputs: needs root"; exit 0; }
cd "$(dirname "$0")" && exec /usr/bin/python3 marker_inputs.py
