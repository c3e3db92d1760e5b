#!/usr/bin/env bash
# Builds the Debian packages for amd64 and arm64 into dist/deb, with checksums and
# a bill of materials each. Two builds of one commit are equal, byte by byte.
#
#   VERSION=1.2.3 OUT=dist/deb packaging/build.sh [ARCH...]
#
# VERSION is the upstream release; without one it is made of the commit.
set -euo pipefail
cd "$(dirname "$0")/.."

epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
day=$(date -u -d "@$epoch" +%Y%m%d)
release=${VERSION:-$(git describe --tags --always)}
# A Debian version begins with a digit; one of a commit sorts below every release.
case $release in
v[0-9]*) deb=${release#v} ;;
[0-9]*.[0-9]*) deb=$release ;;
*) deb="0~git$day.$release" ;;
esac
deb=${deb//-/+}
architectures=${*:-amd64 arm64}
out=${OUT:-dist/deb}
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
nfpm() { go tool -modfile=packaging/nfpm/go.mod nfpm "$@"; }

say() { printf '%s\n' "$*"; }

# The pages and completions are made by the programs, so they have to run here.
native=$(go env GOARCH)
build() { # ARCH DIR
	mkdir -p "$2"
	CGO_ENABLED=0 GOOS=linux GOARCH=$1 go build -trimpath -buildvcs=false \
		-ldflags "-s -w -buildid= -X primespark/shared/version.Number=$release" -o "$2/" \
		./agent/cmd/prime-spark-agent ./coordinator/cmd/prime-spark-coordinator ./coordinator/cmd/prime-spark \
		./shared/meshnet/cmd/prime-spark-mesh
}
build "$native" "$stage/native"

changelog() { # PACKAGE
	printf '%s (%s) stable; urgency=medium\n\n  * See https://prime-spark.invalid/changes or CHANGELOG.md of the sources.\n\n -- %s  %s\n' \
		"$1" "$deb" "Prime Spark maintainers <maintainers@prime-spark.invalid>" "$(date -u -R -d "@$epoch")"
}

# native_workers ARCH DIR: the programs that talk to HailoRT and to ONNX Runtime; the agent
# finds them there.
native_workers() {
	local compiler=gcc
	if [ "$1" != "$native" ]; then
		case $1 in arm64) compiler=aarch64-linux-gnu-gcc ;; *) compiler=x86_64-linux-gnu-gcc ;; esac
	fi
	install -D -m 0644 hailo/workerpy/worker.py "$2/prime-spark-hailo-worker.py"
	scripts/native-worker.sh hailo "$compiler" "$2/prime-spark-hailo-worker"
	scripts/native-worker.sh onnxruntime "$compiler" "$2/prime-spark-ort-worker"
	for worker in "$2"/prime-spark-{hailo,ort}-worker; do
		[ ! -e "$worker" ] || chmod 0755 "$worker" # whatever the umask
	done
}

# monitoring DIR: what Prometheus and Grafana want, and the manual, whose runbook the alerts link to.
monitoring() {
	for file in packaging/prometheus/*.rules.yml; do
		install -D -m 0644 "$file" "$1/prometheus/$(basename "$file")"
	done
	for file in packaging/grafana/*.json; do
		install -D -m 0644 "$file" "$1/grafana/$(basename "$file")"
	done
	for file in docs/*.md; do
		install -D -m 0644 "$file" "$1/$(basename "$file")"
	done
}

# package NAME PROGRAM ARCH BIN: lays the files out, and packs them.
package() {
	local name=$1 program=$2 arch=$3 bin=$4 dir="$stage/$1-$3"
	local root="$dir/root"
	local native_program="$stage/native/$program"
	put() { install -D -m "$1" "$2" "$root/$3"; }
	put 0755 "$bin/$program" "usr/bin/$program"
	"$native_program" man --date "$(date -u -d "@$epoch" +%F)" | gzip -9n >"$dir.man"
	put 0644 "$dir.man" "usr/share/man/man1/$program.1.gz"
	"$native_program" completion bash >"$dir.bash"
	"$native_program" completion zsh >"$dir.zsh"
	"$native_program" completion fish >"$dir.fish"
	put 0644 "$dir.bash" "usr/share/bash-completion/completions/$program"
	put 0644 "$dir.zsh" "usr/share/zsh/vendor-completions/_$program"
	put 0644 "$dir.fish" "usr/share/fish/vendor_completions.d/$program.fish"
	changelog "$name" | gzip -9n >"$dir.changelog"
	put 0644 "$dir.changelog" "usr/share/doc/$name/changelog.gz"
	mkdir -p "$out"
	go run ./scripts/origins -copyright "$dir.copyright" -sbom "$out/${name}_${deb}_$arch.cdx.json" -version "$release" "$bin/$program"
	put 0644 "$dir.copyright" "usr/share/doc/$name/copyright"
	sed "s/@PACKAGE@/$name/; s/@PROGRAM@/$program/" packaging/debian/lintian | install -D -m 0644 /dev/stdin "$root/usr/share/lintian/overrides/$name"
	[ "$name" != prime-spark-agent ] || native_workers "$arch" "$root/usr/libexec/prime-spark"
	local kind=${name#prime-spark-}
	[ "$kind" != agent ] || put 0644 docs/ups-boards.md "usr/share/doc/$name/ups-boards.md"
	[ "$kind" != coordinator ] || monitoring "$root/usr/share/doc/$name"
	local units=(systemd/"$name"*.service)
	[ "$kind" != agent ] || units+=(systemd/prime-spark-{hailo,ort}-worker{@.service,.socket})
	for unit in "${units[@]}"; do
		[ ! -e "$unit" ] || put 0644 "$unit" "usr/lib/systemd/system/$(basename "$unit")"
	done
	[ ! -e "systemd/$name.sysusers" ] || put 0644 "systemd/$name.sysusers" "usr/lib/sysusers.d/$name.conf"
	[ ! -e "systemd/$name.shutdown" ] || put 0755 "systemd/$name.shutdown" "usr/lib/systemd/system-shutdown/$name"
	[ ! -e "systemd/$name.rules" ] || put 0644 "systemd/$name.rules" "usr/share/polkit-1/rules.d/60-$name.rules"
	[ ! -e "systemd/$name.udev" ] || put 0644 "systemd/$name.udev" "usr/lib/udev/rules.d/60-$name.rules"
	[ ! -e "systemd/$name.tmpfiles" ] || put 0644 "systemd/$name.tmpfiles" "usr/lib/tmpfiles.d/$name.conf"
	[ "$kind" = cli ] || [ "$kind" = mesh ] || "$native_program" check --print-default >"$dir/$kind.yaml"
	mkdir -p "$dir/scripts"
	for script in packaging/debian/preinst packaging/debian/"$kind".*rm packaging/debian/"$kind".postinst; do
		[ ! -e "$script" ] || sed "s/@PACKAGE@/$name/g; s/@VERSION@/$deb/g" "$script" >"$dir/scripts/$(basename "$script")"
	done
	find "$dir" -exec touch -h -d "@$epoch" {} +
	sed -E "s,packaging/debian/(preinst|$kind\.),$dir/scripts/\1," "packaging/debian/$kind.yaml" >"$dir.nfpm.yaml"
	ARCH=$arch VERSION=$deb STAGE=$dir SOURCE_DATE_EPOCH=$epoch \
		nfpm package -f "$dir.nfpm.yaml" -p deb -t "$out/${name}_${deb}_$arch.deb" >"$dir.nfpm.log" || { cat "$dir.nfpm.log" >&2; exit 1; }
}

for arch in $architectures; do
	bin=$stage/native
	if [ "$arch" != "$native" ]; then
		bin=$stage/bin-$arch
		build "$arch" "$bin"
	fi
	package prime-spark-agent prime-spark-agent "$arch" "$bin"
	package prime-spark-coordinator prime-spark-coordinator "$arch" "$bin"
	package prime-spark-cli prime-spark "$arch" "$bin"
	package prime-spark-mesh prime-spark-mesh "$arch" "$bin"
done
(cd "$out" && sha256sum ./*"_${deb}_"* | sed 's|\./||' >SHA256SUMS)
(cd "$out" && ls -l ./*"_${deb}_"*.deb) | awk '{ printf "  %-60s %5.1f MB\n", $NF, $5 / 1e6 }'
