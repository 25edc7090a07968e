#!/bin/sh
# How often the printed error of a tag's bytes holds: 200 worlds of 1,000 flows, one packet in a thousand seen
# (tests/day); it says 95 %.
SCITAG_SEEDS=${SCITAG_SEEDS:-200} "$BIN/day/test_day" 2>&1 | grep -E 'seeds|FAILED'
