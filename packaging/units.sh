#!/usr/bin/env bash
# The units keep their sandbox, and the safe mode's unit is the agent's but for what
# it says it changes. Faults go to stdout, the scores to stderr.
set -euo pipefail
cd "$(dirname "$0")/.."
failed=0
fault() { echo "FAULT: $*"; failed=1; }

if ! command -v systemd-analyze >/dev/null; then
	[ "${CI:-}" != true ] || fault "systemd-analyze is not here: apt-get install systemd"
	echo "the units are not judged: systemd-analyze is not here" >&2
	exit $failed
fi

# exposure UNIT MOST: systemd's own score, 0 (tight) to 10.
exposure() {
	local score
	score=$(systemd-analyze security --offline=true "systemd/$1" | awk '/Overall exposure/ { print $(NF-2) }')
	printf '%-36s exposure %s, at most %s\n' "$1" "$score" "$2" >&2
	awk -v s="$score" -v m="$2" 'BEGIN { exit !(s != "" && s <= m) }' || fault "$1 is too open; see systemd-analyze security --offline=true systemd/$1"
}
exposure prime-spark-coordinator.service 1.4
exposure prime-spark-agent.service 1.6
exposure prime-spark-agent-safe.service 1.6
exposure prime-spark-hailo-worker@.service 1.0
exposure prime-spark-ort-worker@.service 1.0
exposure prime-spark-mesh.service 2.1
if ! diff <(grep -vE '^(#|Description=|OnFailure=|Conflicts=|\[Install\]|WantedBy=|ExecStart=|$)' systemd/prime-spark-agent.service) \
	<(grep -vE '^(#|Description=|Conflicts=|Before=|ExecStart(Pre)?=|$)' systemd/prime-spark-agent-safe.service); then
	fault "the safe mode's unit has drifted from the agent's"
fi
for unit in $(grep -lE '^RestartPreventExitStatus=(.* )?2( |$)' systemd/*.service); do
	grep -qx 'Environment=GOTRACEBACK=crash' "$unit" || fault "$unit would not start again after a crash: Environment=GOTRACEBACK=crash is missing"
done
exit $failed
