#!/bin/sh
# bench-engine.sh [MODEL...]: CPU time of the builtin engine against ONNX Runtime.
#
# Measures an inference on one thread, in interleaved rounds on this machine, and prints
# one table. ONNX Runtime is npm's onnxruntime-node, installed into a temporary
# folder that is removed afterwards (or kept, and found again, with BENCH_CACHE=DIR);
# it is never a dependency. Models are FILE.onnx in the folders of $BENCH_MODELS, which are
# ../shared/testdata/models and what npm-models.sh has fetched unless set. BENCH_KERNELS=AVX2
# measures other kernels than the fastest ones; ONNX Runtime is then held to AVX2 too, which
# needs gcc and a processor whose CPUID can fault, unless BENCH_RUNTIME=widest.
# BENCH_ROUNDS sets the number of rounds, and
# BENCH_REFERENCES=FILE keeps what ONNX Runtime gave, as the engine's tests read it.
#
# Exit code: 0 measured, 3 something is missing (said on stderr), 1 failed.
set -eu
cd "$(dirname "$0")/.."
models=${BENCH_MODELS:-../shared/testdata/models:${XDG_CACHE_HOME:-$HOME/.cache}/prime-spark-models}

missing() {
	echo "bench-engine: $1" >&2
	exit 3
}
command -v go >/dev/null || missing "the go command is missing: install Go 1.26"
command -v node >/dev/null || missing "node is missing, which runs ONNX Runtime: apt install nodejs npm"
command -v npm >/dev/null || missing "npm is missing, which installs ONNX Runtime: apt install npm"
[ -d "${models%%:*}" ] || missing "no folder ${models%%:*}; set BENCH_MODELS to one with .onnx files"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
go build -o "$work/engine" scripts/bench-engine.go

runtime=${BENCH_CACHE:-$work}
if [ ! -d "$runtime/node_modules/onnxruntime-node" ]; then
	echo "bench-engine: installing onnxruntime-node into $runtime (about 110 MB)" >&2
	mkdir -p "$runtime"
	npm install --prefix "$runtime" --ignore-scripts --no-audit --no-fund --loglevel=error onnxruntime-node >&2 ||
		missing "npm could not install onnxruntime-node; is the registry reachable?"
fi
cp scripts/bench-engine.mjs "$work/bench.mjs"
if [ "${BENCH_KERNELS:-}" = AVX2 ] && [ "${BENCH_RUNTIME:-}" != widest ]; then
	command -v gcc >/dev/null || missing "gcc is missing, which ONNX Runtime is held to AVX2 with: apt install gcc, or set BENCH_RUNTIME=widest"
	gcc -O2 -Wall -Wextra -Werror -shared -fPIC -o "$work/narrow.so" scripts/bench-narrow.c -ldl
fi
[ "$runtime" = "$work" ] || ln -s "$(cd "$runtime" && pwd)/node_modules" "$work/node_modules"
if [ -f "$work/narrow.so" ]; then
	LD_PRELOAD=$work/narrow.so node "$work/bench.mjs" "$work/engine" "$models" "$work" "$@"
else
	node "$work/bench.mjs" "$work/engine" "$models" "$work" "$@"
fi
