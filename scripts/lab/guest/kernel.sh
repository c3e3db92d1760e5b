#!/usr/bin/env bash
# Builds the lab's kernel into DIR (linux, modules/): Debian's own kernel source as
# user-mode Linux, with WireGuard, netem, nftables and i2c-stub. It takes about ten
# minutes on two cores. It is GPL: build it, do not hand it out without its source.
#
#   kernel.sh DIR
#
# Needs gcc, make, flex, bison, bc and xz. The apt configuration of this machine is
# left as it is.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mirror=$(awk '/^URIs:/ { print $2; exit }' /etc/apt/sources.list.d/*.sources)
mkdir -p "$work"/{state/lists/partial,cache/archives/partial,src}
: >"$work/status"
printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s trixie-backports main\n' "$mirror" >"$work/list"
apt=(-o Dir::State="$work/state" -o Dir::Cache="$work/cache" -o Dir::State::status="$work/status"
	-o Dir::Etc::SourceParts=/dev/null -o Dir::Etc::sourcelist="$work/list")
apt-get "${apt[@]}" -qq update
package=$(apt-cache "${apt[@]}" show linux-source | sed -n 's/^Depends: \([^ ,]*\).*/\1/p' | head -n 1)
cd "$work/src"
apt-get "${apt[@]}" -qq download "$package"
dpkg-deb --fsys-tarfile "$package"_*.deb | tar -x --wildcards '*.tar.xz'
tar -xf usr/src/"$package".tar.xz
cd "$package"

make -s ARCH=um allnoconfig >/dev/null
./scripts/kconfig/merge_config.sh -m .config "$here/kernel.config" >/dev/null
make -s ARCH=um olddefconfig
while read -r option; do
	grep -qE "^${option%=*}=[ym]" .config || {
		echo "this kernel has no $option" >&2
		exit 1
	}
done < <(grep -oE '^CONFIG_[A-Z0-9_]+=[ym]' "$here/kernel.config")
make -s ARCH=um -j"$(nproc)" linux modules >"$work/log" 2>&1 || {
	tail "$work/log" >&2
	exit 1
}
version=$(cat include/config/kernel.release)
mkdir -p "$work/m/lib/modules/$version"
find . -name '*.ko' -exec cp {} "$work/m/lib/modules/$version/" \;
touch "$work/m/lib/modules/$version"/modules.{order,builtin,builtin.modinfo}
depmod -b "$work/m" "$version"
mkdir -p "$out"
rm -rf "$out/modules"
cp -a "$work/m/lib/modules" "$out/modules"
strip -o "$out/linux.new" linux
mv "$out/linux.new" "$out/linux"
