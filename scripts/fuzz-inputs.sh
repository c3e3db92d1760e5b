#!/usr/bin/env bash
# Runs the fuzz tests of what strangers send to a node, two at a time on a thread each:
# models, bodies of requests, manifests, photos. CI does so; make fuzz runs all there are.
#
#   scripts/fuzz-inputs.sh [TIME]     1m by default, for each
set -euo pipefail
cd "$(dirname "$0")/.."

time=${1:-1m}
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

# Fuzz LANE PACKAGE NAME. What ends because the time is over may say so as an error of its own
# (golang/go#75804); then nothing was found, and nothing is kept.
fuzz() {
	local log=$logs/$1
	if go test -run '^$' -fuzz "^$3\$" -fuzztime "$time" -fuzzminimizetime 2s -parallel 1 "$2" >"$log" 2>&1; then
		echo "$2 $3: $(grep -o 'execs: [0-9]*' "$log" | tail -n 1)"
	elif grep -q 'context deadline exceeded' "$log" && ! grep -Eq 'Failing input|panic:|testdata/fuzz|DATA RACE|build failed' "$log"; then
		echo "$2 $3: out of time, nothing found"
	else
		cat "$log" >&2
		echo "$2 $3 found something, see above. It is kept in the package's testdata/fuzz/$3;" >&2
		echo "go test -run $3 $2 shows it again." >&2
		return 1
	fi
}

lane() {
	local name=$1
	shift
	while [ $# -gt 0 ]; do
		fuzz "$name" "$1" "$2" || return 1
		shift 2
	done
}

lane models ./agent/infer/builtin FuzzLoad ./shared/model FuzzParseManifest &
models=$!
status=0
lane requests ./shared/oip FuzzDecode ./agent/infer/image FuzzDecode || status=$?
wait "$models" || status=$?
exit "$status"
