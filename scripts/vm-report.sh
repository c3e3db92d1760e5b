#!/usr/bin/env bash
# The figures of the packages: sizes, hardening, and how an emulated Raspberry Pi 5
# fares with them. It takes root and about ten minutes, besides the making of the
# machines' disks at the first time.
#
#   SUITES="bookworm trixie" scripts/vm-report.sh
set -euo pipefail
cd "$(dirname "$0")/.."
suites=${SUITES:-bookworm trixie}

row() { printf '  %-44s %s\n' "$1" "$2"; }

echo "packages, at most 12 MB for the agent's"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
OUT=$work packaging/build.sh >/dev/null
for deb in "$work"/*.deb; do
	row "$(basename "$deb")" "$(awk -v n="$(stat -c %s "$deb")" 'BEGIN { printf "%.1f MB", n / 1e6 }')"
done

echo "hardening, 0 (tight) to 10; at most 1.4 for the coordinator, 1.6 for the agent, 1.0 for inference workers"
for unit in systemd/*.service; do
	row "$(basename "$unit")" "$(systemd-analyze security --offline=true "$unit" | awk '/Overall exposure/ { print $(NF-2) }')"
done

echo "an emulated Raspberry Pi 5; at most 20 s to serving, 60 s from joining to healthy, on a real one. The factor is that"
echo "of the same work of a shell on the Pi and on this host, right after each figure; the last number is without it"
row "this host" "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) processors"
row "this host's load" "$(cut -d ' ' -f 1-3 /proc/loadavg)"
log=$work/log
PRIME_SPARK_MACHINES=1 PRIME_SPARK_PI_SUITES=$suites \
	go test -count=1 -v -run 'TestPi$' -timeout 90m ./scripts/lab/packages >"$log" 2>&1 || {
	cat "$log"
	exit 1
}
grep -h -A1 -e '--- SKIP' "$log" || true
sed -n 's/.*figure: \([^:]*\): \(.*\)/\1|\2/p' "$log" | while IFS='|' read -r what figure; do row "$what" "$figure"; done
