#!/usr/bin/env bash
# The figures of the project, measured on this machine in one go: the engine, the
# parts that have benchmarks, and a whole fleet of real processes. Expects bin/
# to be built (make bench does that).
#
#   BENCHTIME=1s ROUNDS=10 PHOTOS=300 scripts/bench.sh
#   CROWD=200 scripts/bench.sh    for a machine on which 1000 agents are too many
set -euo pipefail
cd "$(dirname "$0")/.."

benchtime=${BENCHTIME:-1s}
rounds=${ROUNDS:-10}
photos=${PHOTOS:-300}

echo "== machine"
uname -srm
if [ -r /proc/cpuinfo ]; then
	awk -F ': ' '/^model name/ { print $2; exit }' /proc/cpuinfo
fi
echo "$(getconf _NPROCESSORS_ONLN) cores, $(go version)"

echo
echo "== a fleet of 3 coordinators and 3 agents on this machine"
bin/prime-spark fleet-figures --rounds "$rounds" --photos "$photos"

echo
echo "== a group of 3 coordinators: against etcd, failover, a full queue, 1000 agents, samples; a fleet on battery"
# Each measures for itself, once. Against etcd is left out, with a reason, where
# Debian's etcd-server is not installed.
PRIME_SPARK_BIN=$PWD/bin PATH="$PATH:/usr/sbin" go test -run '^$' -bench . -benchtime 1x -timeout 30m -v ./scripts/figures

echo
echo "== benchmarks of packages ($benchtime each)"
packages=$(grep -rl --include='*_test.go' '^func Benchmark' agent coordinator hailo shared | xargs -r -n1 dirname | sort -u | sed 's|^|./|')
if [ -n "$packages" ]; then
	# shellcheck disable=SC2086 # a list of packages
	go test -run '^$' -bench . -benchmem -benchtime "$benchtime" $packages
fi

echo
echo "== the built-in engine against ONNX Runtime"
# Once both with AVX2, as on most machines, once ONNX Runtime with the widest instructions
# that there are, as it is by itself, and once both with these.
bench_cache=$(mktemp -d)
trap 'rm -rf "$bench_cache"' EXIT
status=0
for both in AVX2:AVX2 AVX2:widest best:widest; do
	if [ "${both%:*}" = AVX2 ] && ! grep -qw avx2 /proc/cpuinfo; then
		continue
	fi
	if [ "$both" = AVX2:AVX2 ] && ! grep -qw cpuid_fault /proc/cpuinfo; then
		echo "left out: ONNX Runtime held to AVX2, for want of a processor whose CPUID can fault"
		continue
	fi
	BENCH_CACHE=${BENCH_CACHE:-$bench_cache} BENCH_KERNELS=${both%:*} BENCH_RUNTIME=${both#*:} scripts/bench-engine.sh || status=$?
	[ "$status" -eq 0 ] || break
done
if [ "$status" -eq 3 ]; then
	echo "left out: what it needs is not here (see above)"
elif [ "$status" -ne 0 ]; then
	exit "$status"
fi
