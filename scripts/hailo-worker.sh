#!/usr/bin/env bash
# Builds a program of hailo/ that is written in C.
#
#   scripts/hailo-worker.sh worker COMPILER OUTPUT [FLAG...]   what talks to libhailort
#   scripts/hailo-worker.sh double COMPILER OUTPUT [FLAG...]   a libhailort without a chip
#
# Without the compiler it says so and ends well: all else works without them.
set -euo pipefail
cd "$(dirname "$0")/.."

what=$1 compiler=$2 output=$3
shift 3
if ! command -v "$compiler" >/dev/null; then
	package=gcc
	[[ $compiler == aarch64-* ]] && package=gcc-aarch64-linux-gnu
	echo "  $output is left out: there is no $compiler. Only boards with a Hailo need it (apt install $package libc6-dev)." >&2
	exit 0
fi
flags=(-std=c11 -O2 -Iworker/native -Wall -Wextra -Werror -Wshadow -Wvla -fstack-protector-strong -pthread)
native=(worker/native/{serve,place,reply,request}.c)
case $what in
worker)
	sources=(hailo/worker/{main,model,library}.c "${native[@]}")
	flags+=(-Wconversion -Wno-sign-conversion -D_FORTIFY_SOURCE=2 -fPIE -pie -Wl,-z,relro,-z,now -s)
	;;
double)
	sources=(hailo/hailotest/double/{double,hef,compute}.c)
	flags+=(-fPIC -shared -fvisibility=hidden -s)
	;;
*)
	echo "worker or double?" >&2
	exit 2
	;;
esac
mkdir -p "$(dirname "$output")"
"$compiler" "${flags[@]}" "$@" -o "$output" "${sources[@]}" -ldl -lm
