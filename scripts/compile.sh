#!/usr/bin/env bash
# Compiles all that the tests consist of, with the race detector and without, into the
# build cache, and links and runs nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
for race in -race -race=false; do
	go list "$race" -export -test ./... >/dev/null
done
