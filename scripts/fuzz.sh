#!/usr/bin/env bash
# Runs every fuzz test of the module for a while, one after the other; stops at
# the first that finds something and says how to see it again. What it makes smaller,
# it does for 2 s at most: a minute of it each time would be all that a run does.
#
#   scripts/fuzz.sh [TIME]     1m by default
set -euo pipefail
cd "$(dirname "$0")/.."

time=${1:-1m}
count=0
for package in $(go list ./...); do
	for name in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
		echo "== $package $name, $time"
		if ! go test -run '^$' -fuzz "^${name}\$" -fuzztime "$time" -fuzzminimizetime 2s "$package"; then
			echo "$package $name found something. It is kept in the package's testdata/fuzz/$name;" >&2
			echo "go test -run $name $package shows it again." >&2
			exit 1
		fi
		count=$((count + 1))
	done
done
echo "$count fuzz tests, nothing found"
