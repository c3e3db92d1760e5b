#!/usr/bin/env bash
# Everything that can be said about the source without running it. Goes through
# all of it and tells every fault, then fails if there was one.
set -uo pipefail
cd "$(dirname "$0")/.."

failed=()

notes=$(mktemp)
trap 'rm -f "$notes"' EXIT

# step NAME REMEDY COMMAND...: a fault if the command fails, or has something to
# say on its output. What it tells on stderr (modules being fetched) is shown
# only along with a fault.
step() {
	local name=$1 remedy=$2 out
	shift 2
	printf '%-28s ' "$name"
	local begin=$SECONDS
	if out=$("$@" 2>"$notes") && [ -z "$out" ]; then
		echo "ok   $((SECONDS - begin)) s"
		return
	fi
	echo "FAULT"
	printf '%s\n' "$out" | cat - "$notes" | sed 's/^/    /'
	echo "    -> $remedy"
	failed+=("$name")
}

tool() { go tool -modfile=tools/go.mod "$@"; }
tidy_tools() { (cd tools && go mod tidy -diff); }
arm64() { GOOS=linux GOARCH=arm64 CGO_ENABLED=0 "$@"; }
amd64() { GOOS=linux GOARCH=amd64 CGO_ENABLED=0 "$@"; }
files() { "$1" go list -f '{{.ImportPath}} {{.GoFiles}} {{.SFiles}} {{.TestGoFiles}} {{.XTestGoFiles}}' ./... | sort; }
# Of what has the same files there nothing else is to be said than of amd64, and to look
# at all of it takes all that only tests use, compiled for arm64.
vet_arm64() { comm -13 <(files amd64) <(files arm64) | awk '{ print $1 }' | arm64 xargs -r go vet; }
imports() { go test -count=1 ./shared/archtest >/dev/null || go test -count=1 ./shared/archtest; }
sources() { git ls-files --cached --others --exclude-standard '*.go' 2>/dev/null || find . -name '*.go'; }
format() { sources | grep -v '/testdata/' | xargs go tool -modfile=tools/go.mod gofumpt -l; }

step "gofumpt" "go tool -modfile=tools/go.mod gofumpt -w FILE" format
step "go vet" "correct what it names" go vet ./...
step "go vet, arm64" "correct what it names; assembly must fit its declaration" vet_arm64
step "go fix -diff" "go fix ./..." go fix -diff ./...
step "staticcheck" "correct what it names" tool staticcheck ./...
step "import rules" "see shared/archtest/rules.go" imports
step "go mod tidy" "go mod tidy" go mod tidy -diff
step "go mod tidy, tools" "cd tools && go mod tidy" tidy_tools
step "go mod verify" "the module cache is damaged: go clean -modcache" bash -c 'go mod verify >/dev/null'
step "units" "systemd/*.service: packaging/units.sh tells the scores" packaging/units.sh
step "build, arm64" "correct what it names" arm64 go build -o /dev/null ./...

if [ ${#failed[@]} -gt 0 ]; then
	printf '\n%d of the checks failed: ' ${#failed[@]}
	printf '%s; ' "${failed[@]}"
	echo
	exit 1
fi
