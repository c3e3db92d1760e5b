#!/usr/bin/env bash
# Builds a program that is written in C.
#
#   scripts/native-worker.sh WHAT COMPILER OUTPUT [FLAG...]
#
# where WHAT is hailo or onnxruntime, which is the worker that talks to that library,
# or hailo-double or onnxruntime-double: a library that computes without a chip, or
# without ONNX Runtime, for tests and demonstrations.
#
# Without the compiler it says so and ends well: all else works without them.
set -euo pipefail
cd "$(dirname "$0")/.."

what=$1 compiler=$2 output=$3
shift 3
if ! command -v "$compiler" >/dev/null; then
	package=gcc
	[[ $compiler == aarch64-* ]] && package=gcc-aarch64-linux-gnu
	echo "  $output is left out: there is no $compiler. Only boards with a Hailo, or with ONNX Runtime, need it (apt install $package libc6-dev)." >&2
	exit 0
fi
flags=(-std=c11 -O2 -Ishared/worker/native -Wall -Wextra -Werror -Wshadow -Wvla -fstack-protector-strong -pthread)
native=(shared/worker/native/{serve,unit,place,reply,request,confine}.c)
case $what in
hailo | onnxruntime)
	sources=(hailo/worker/{main,model,library}.c "${native[@]}")
	[ "$what" = hailo ] || sources=(agent/onnxruntime/worker/{main,model,side,library}.c "${native[@]}")
	flags+=(-Wconversion -Wno-sign-conversion -D_FORTIFY_SOURCE=2 -fPIE -pie -Wl,-z,relro,-z,now -s)
	;;
hailo-double | onnxruntime-double)
	sources=(hailo/hailotest/double/{double,hef,compute}.c)
	[ "$what" = hailo-double ] || sources=(agent/onnxruntime/double/double.c)
	flags+=(-Iagent/onnxruntime/worker)
	flags+=(-fPIC -shared -fvisibility=hidden -s)
	;;
*)
	echo "hailo, onnxruntime, hailo-double or onnxruntime-double?" >&2
	exit 2
	;;
esac
mkdir -p "$(dirname "$output")"
"$compiler" "${flags[@]}" "$@" -o "$output" "${sources[@]}" -ldl -lm
