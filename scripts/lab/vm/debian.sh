#!/usr/bin/env bash
# Fetches Debian's kernel with its modules, and a busybox, for a guest of an
# architecture (amd64, arm64) and unpacks them into DIR:
#
#   debian.sh SUITE ARCH DIR
#
# The apt configuration of this machine is left as it is. Needs apt and dpkg-deb.
set -euo pipefail
suite=$1 arch=$2 dir=$3
work=$(mktemp -d "$dir.XXXXXX")
trap 'rm -rf "$work"' EXIT

mirror=$(awk '/^URIs:/ { print $2; exit }' /etc/apt/sources.list.d/*.sources 2>/dev/null || true)
[ -n "$mirror" ] || mirror=$(awk '$1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /^http/) { print $i; exit } }' /etc/apt/sources.list)
mkdir -p "$work"/{state/lists/partial,cache/archives/partial,deb,root}
: >"$work/status"
printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n' "$mirror" "$suite" >"$work/list"
apt=(-o Dir::State="$work/state" -o Dir::Cache="$work/cache" -o Dir::State::status="$work/status"
	-o Dir::Etc::SourceParts=/dev/null -o Dir::Etc::sourcelist="$work/list" -o APT::Sandbox::User=root
	-o APT::Architecture="$arch" -o APT::Architectures="$arch" -o Acquire::Languages=none -o Acquire::Retries=3)
apt-get "${apt[@]}" -qq update
kernel=$(apt-cache "${apt[@]}" show --no-all-versions "linux-image-$arch" | sed -n 's/^Depends: \([^ ,]*\).*/\1/p')
cd "$work/deb"
apt-get "${apt[@]}" -qq download "$kernel" busybox-static
for deb in *.deb; do
	dpkg-deb -x "$deb" "$work/root"
done

# From Debian 13 on, all of it is below /usr.
one() { # the first of those that are there
	local path
	for path in "$@"; do
		[ ! -e "$path" ] || { echo "$path" && return; }
	done
	echo "not in the packages: $*" >&2
	return 1
}
mkdir "$work/out"
cp "$(one "$work"/root/boot/vmlinuz-*)" "$work/out/kernel"
cp "$(one "$work"/root/bin/busybox "$work"/root/usr/bin/busybox)" "$work/out/busybox"
mv "$(one "$work"/root/lib/modules/* "$work"/root/usr/lib/modules/*)" "$work/out/modules"
echo "$kernel" >"$work/out/version"
mv -T "$work/out" "$dir"
