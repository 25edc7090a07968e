#!/bin/sh
# The marker's fireflies, and those that it relays: out of real sockets, over a veth, into collectors,
# syslog daemons and the observer. See fireflies_out.py. KEEP_S: how long 10,000 flows are kept.
[ "$(id -u)" = 0 ] || { echo "skip - fireflies out: needs root"; exit 0; }
cd "$(dirname "$0")" && exec /usr/bin/python3 fireflies_out.py
