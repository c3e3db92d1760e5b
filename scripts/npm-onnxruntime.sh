#!/usr/bin/env bash
# npm-onnxruntime.sh [--find]: installs npm's onnxruntime-node (MIT, some 110 MB to
# fetch) into $XDG_CACHE_HOME/prime-spark-onnxruntime (~/.cache/…) unless it is there, and
# prints that folder. Tests run its libonnxruntime in the worker, and hold the worker's
# answers against its own; it is never committed nor shipped. With --find nothing is
# installed. PRIME_SPARK_ONNXRUNTIME names another folder whose node_modules has it.
#
# Exit code: 0 it is there, 3 it is not, or npm is missing, 1 failed.
set -euo pipefail
version=1.30.0
cache=${PRIME_SPARK_ONNXRUNTIME:-${XDG_CACHE_HOME:-$HOME/.cache}/prime-spark-onnxruntime}
if [ -e "$cache/node_modules/onnxruntime-node/package.json" ]; then
	echo "$cache"
	exit 0
fi
[ "${1:-}" != --find ] || exit 3
command -v npm >/dev/null || { echo "npm-onnxruntime: npm is missing: apt install npm" >&2; exit 3; }
mkdir -p "$cache"
npm install --prefix "$cache" --ignore-scripts --no-audit --no-fund --loglevel=error "onnxruntime-node@$version" >&2
# Only this system's libraries are of use: the others are 300 MB.
find "$cache/node_modules/onnxruntime-node/bin" -mindepth 2 -maxdepth 2 -type d ! -name linux -exec rm -rf {} +
echo "$cache"
