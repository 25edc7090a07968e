#!/bin/sh
# demo_transfers.sh NAMESPACE FROM TO PIPE FIRST_PORT: transfers from one DTN to the other, a few at a time, until
# it is ended. Each is announced to the marker's named pipe as a storage service would, sent by iperf3, and
# announced as ended. One in four is not announced at all: not everything is marked.
namespace=$1 from=$2 to=$3 pipe=$4 port=$5
trap 'kill $(jobs -p) 2>/dev/null; exit 0' INT TERM
transfer() { # transfer TO_PORT FROM_PORT EXPERIMENT ACTIVITY RATE SECONDS
	nsenter --net=/run/netns/"$namespace" sh -c "
		[ $3 = none ] || echo 'start tcp $from $2 $to $1 $3 $4' >'$pipe'
		iperf3 -6 -c $to -p $1 --cport $2 -B $from -b $5 -t $6 -C cubic >/dev/null 2>&1
		[ $3 = none ] || echo 'end tcp $from $2 $to $1 $3 $4' >'$pipe'"
}
turn=0
while :; do
	n=0
	for what in "cms AnalysisInput 24M 14" "atlas ProductionOutput 18M 11" "belleii RawExport 12M 9" \
		"none none 10M 8" "alice Dataaccess 8M 12" "lsst DataChallenge 6M 7"; do
		set -- $what
		n=$((n + 1))
		# the shares shift as the rounds go by
		seconds=$(($4 + (turn + n) % 4 * 2))
		# a new port each time: the old connection may still be in TIME_WAIT
		transfer $((port + n)) $((20000 + turn % 1000 * 8 + n)) "$1" "$2" "$3" "$seconds" &
	done
	wait
	turn=$((turn + 1))
done
