#!/usr/bin/env bash
# The fault suite: fleets of real processes, to which happens what happens to
# machines (scripts/lab). It makes network namespaces and mounts small disks, all with
# names that begin with pslab-, and removes them, so it takes root.
#
#   CHAOS=short           the part that CI runs; full is all of it
#   NEMESIS=15m SEED=42   random faults only, for so long, the same for the same seed
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "$(id -u)" != 0 ]; then
	echo "The fault suite makes network namespaces and mounts disks, which takes root: sudo make chaos" >&2
	exit 1
fi
case "${CHAOS:-full}" in
short | full) ;;
*)
	echo "CHAOS is \"$CHAOS\"; give short or full" >&2
	exit 2
	;;
esac
tests=.
if [ -n "${NEMESIS:-}" ]; then
	tests='^TestNemesis$'
fi
# Three fleets at a time: most of them wait most of the time.
PRIME_SPARK_CHAOS=${CHAOS:-full} go test -count=1 -v -parallel 3 -timeout 2h -run "$tests" ./scripts/lab
