#!/usr/bin/env bash
# Says in a sentence when Go is missing or too old, instead of a page of errors.
set -euo pipefail
cd "$(dirname "$0")/.."

want=$(awk '$1 == "go" { print $2; exit }' go.mod)

if ! command -v go >/dev/null; then
	echo "Go is not installed, or not on PATH. Prime Spark needs Go $want or newer." >&2
	echo "Get it from https://go.dev/dl/, unpack it to /usr/local/go, and run make again." >&2
	exit 2
fi

# Asked from outside of the module, so that a toolchain that is too old answers
# instead of refusing or fetching another.
have=$(cd / && GOTOOLCHAIN=local GOFLAGS='' go env GOVERSION)
have=${have#go}
have=${have%% *}
if [ "$(printf '%s\n%s\n' "$want" "$have" | sort -V | head -n 1)" != "$want" ]; then
	# From Go 1.21 on, the toolchain can fetch the newer one that go.mod names.
	if ! go env GOVERSION >/dev/null 2>&1; then
		echo "Go $have is too old: Prime Spark needs Go $want or newer." >&2
		echo "Get it from https://go.dev/dl/, unpack it to /usr/local/go, and run make again." >&2
		exit 2
	fi
fi
