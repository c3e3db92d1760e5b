#!/usr/bin/env bash
# Makes the disk image of a Debian machine for the lab, into FILE:
#
#   image.sh SUITE FILE MODULES [PACKAGE,PACKAGE]      SUITE is bookworm or trixie
#   image.sh SUITE FILE "" "" ARCH                     ARCH is amd64 or arm64
#
# The machine has systemd as its first process. The first form is for the lab's
# kernel, whose modules lie in the folder MODULES (empty for one that brings its own);
# the machine runs the commands that are put into a directory of the host (see lab-agent
# below). The second form has Debian's own kernel, in FILE.vmlinuz and FILE.initrd, and
# runs commands by QEMU's guest agent. Needs root, mmdebstrap and e2fsprogs; for another architecture than
# this machine's qemu-user-static and arch-test, too.
#
# It is run in a mount namespace of its own (unshare --mount), so that of a making that
# is broken off no mount of the host's /dev, /proc or /sys is left.
set -euo pipefail
suite=$1 file=$2 modules=${3:-} more=${4:-} arch=${5:-}

work=$(mktemp -d "$file.XXXXXX")
done_with() {
	rm -rf --one-file-system "$work" # mmdebstrap, broken off, leaves the host's /dev and /sys mounted in there
	[ -z "${registered:-}" ] || echo -1 >/proc/sys/fs/binfmt_misc/qemu-aarch64
}
trap done_with EXIT
root=$work/root

# The mirror that this machine itself uses, with its own keyring.
mirror=$(awk '/^URIs:/ { print $2; exit }' /etc/apt/sources.list.d/*.sources 2>/dev/null || true)
[ -n "$mirror" ] || mirror=$(awk '$1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /^http/) { print $i; exit } }' /etc/apt/sources.list)
key=/usr/share/keyrings/debian-archive-keyring.gpg
packages=systemd,systemd-sysv,udev,dbus,kmod,iproute2,procps,curl
if [ -z "$arch" ]; then
	packages+=,iputils-ping,wireguard-tools,nftables,ca-certificates
else
	packages+=,qemu-guest-agent,tiny-initramfs,busybox-static,linux-image-cloud-$arch
fi
native=$(dpkg --print-architecture)
if [ "${arch:-$native}" = arm64 ] && [ "$native" != arm64 ] && ! [ -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ]; then
	mountpoint -q /proc/sys/fs/binfmt_misc || mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
	cat /usr/lib/binfmt.d/qemu-aarch64.conf >/proc/sys/fs/binfmt_misc/register # of qemu-user-static
	registered=yes
fi

# What unpacks the packages of another architecture, and the small tools of their
# scripts, are this machine's own programs while the disk is made: emulated, they take
# minutes. Their libraries lie where foreign ones do not. None is lent that tells what
# machine it runs on.
lend=()
if [ "$native" = amd64 ] && [ "${arch:-$native}" != amd64 ]; then
	install -m 0755 /dev/stdin "$work/lend" <<'LEND'
#!/bin/bash
set -euo pipefail
PATH=$PATH:/usr/sbin # where depmod is
mkdir -p "$1/lent" "$1/usr/lib/x86_64-linux-gnu" "$1/usr/lib64"
ln -s usr/lib64 "$1/lib64"
for program in dpkg-deb tar xz gzip depmod sed grep find sort cat chmod chown cp cut ln ls mkdir mktemp mv readlink rm rmdir stat touch tr; do
	cp -L "$(command -v "$program")" "$1/lent/"
	ldd "$(command -v "$program")" | awk '$2 == "=>" { print $3 }'
done | sort -u | xargs cp -Lt "$1/usr/lib/x86_64-linux-gnu"
cp -L /lib64/ld-linux-x86-64.so.2 "$1/usr/lib64/"
LEND
	# Nor does apt there look into each package for what it might ask a person.
	lend=(--aptopt='DPkg::Path "/lent:/usr/sbin:/usr/bin:/sbin:/bin"' --dpkgopt='path-exclude=/etc/apt/apt.conf.d/70debconf' --extract-hook="$work/lend" --customize-hook='rm -r "$1/lent" "$1/lib64" "$1/usr/lib64" "$1/usr/lib/x86_64-linux-gnu"')
fi

# What is unpacked is flushed to the disk once, at the end, not file by file; and of the
# hardware that there is nobody asks.
printf 'deb [signed-by=%s] %s %s main\n' "$key" "$mirror" "$suite" |
	PATH="/lent:$PATH" mmdebstrap --quiet --variant=apt --architectures="${arch:-$native}" --include="$packages${more:+,$more}" --aptopt='Acquire::Check-Valid-Until "false"' \
		--dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
		--dpkgopt='path-exclude=/usr/lib/udev/hwdb.d/*' --dpkgopt='path-exclude=/lib/udev/hwdb.d/*' --dpkgopt=force-unsafe-io "${lend[@]}" \
		"$suite" "$root" - >&2
sed -i /force-unsafe-io/d "$root/etc/dpkg/dpkg.cfg.d/99mmdebstrap"
sed -i /DPkg::Path/d "$root/etc/apt/apt.conf.d/99mmdebstrap"

# Nothing that waits for a network, a clock or a person.
for unit in systemd-firstboot.service apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
	systemd-timesyncd.service dpkg-db-backup.timer systemd-networkd-wait-online.service; do
	ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
: >"$root/etc/fstab"
: >"$root/etc/machine-id" # empty, so that each machine makes its own
echo lab >"$root/etc/hostname"
[ -z "$modules" ] || cp -a "$modules/." "$root/lib/modules/"

# What the kernel's command line says of this machine: its name and its address.
install -D -m 0755 /dev/stdin "$root/usr/local/sbin/lab-net" <<'NET'
#!/bin/bash
word() { sed -n "s/.*\\b$1=\\([^ ]*\\).*/\\1/p" /proc/cmdline; }
hostname "$(word lab.name)"
link=$(word lab.link)
while ! [ -e "/sys/class/net/$link" ]; do sleep 0.1; done
ip link set lo up
ip address add "$(word lab.address)/24" dev "$link"
ip link set "$link" up
NET
# The machine's end of the lab where it shares a directory with the host: it runs
# DIR/q/*.sh, and leaves what they printed and their exit codes beside them.
install -D -m 0755 /dev/stdin "$root/usr/local/sbin/lab-agent" <<'AGENT'
#!/bin/bash
dir=$(sed -n 's/.*\blab.dir=\([^ ]*\).*/\1/p' /proc/cmdline)
mkdir -p /lab
mount -t hostfs -o "hostfs=$dir" none /lab || mount -t hostfs -o "$dir" none /lab
lab-net
cd /lab/q || exit 1
cat /proc/sys/kernel/random/boot_id >/lab/up
exec 9<> <(:) # a descriptor on which nothing ever comes, to wait on without a fork
while :; do
	for job in *.sh; do
		[ -e "$job" ] || continue
		name=${job%.sh}
		mv "$job" "$name.run"
		(
			bash "$name.run" >"$name.out" 2>&1 </dev/null
			echo $? >"$name.tmp"
			mv "$name.tmp" "$name.rc"
		) &
	done
	read -r -t 0.05 -u 9 || true
done
AGENT
# Elsewhere QEMU's guest agent is that end.
unit=lab-agent
[ -z "$arch" ] || unit=lab-net
cat >"$root/etc/systemd/system/lab-agent.service" <<UNIT
[Unit]
Description=The lab's end in this machine
DefaultDependencies=no
After=local-fs.target
[Service]
Environment=HOME=/root
ExecStart=/usr/local/sbin/$unit
[Install]
WantedBy=multi-user.target
UNIT
ln -sf ../lab-agent.service "$root/etc/systemd/system/multi-user.target.wants/lab-agent.service"

# own_kernel puts Debian's kernel beside FILE, with a first file system that knows
# just enough to mount the disk: initramfs-tools' own takes seconds to unpack where
# every instruction is emulated.
own_kernel() {
	local version module n=100 first=$work/first
	version=$(cd "$root/lib/modules" && ls | head -n 1)
	mkdir -p "$first"/{proc,dev,m,root}
	cp "$root/bin/busybox" "$first/"
	for module in virtio_pci virtio_blk ext4; do
		modprobe -d "$root" -S "$version" --show-depends "$module"
	done | awk '/^insmod/ && !seen[$2]++ { print $2 }' >"$work/modules"
	while read -r module; do
		n=$((n + 1))
		cp "$module" "$first/m/$n-$(basename "$module")"
	done <"$work/modules"
	find "$first/m" -name '*.xz' -exec xz -d {} +
	find "$first/m" -name '*.zst' -exec zstd -dq --rm {} +
	install -m 0755 /dev/stdin "$first/init" <<'INIT'
#!/busybox sh
/busybox mount -t devtmpfs dev /dev
for m in /m/*; do /busybox insmod $m; done
while ! [ -b /dev/vda ]; do /busybox usleep 50000; done
/busybox mount -t ext4 /dev/vda /root
/busybox umount /dev
exec /busybox switch_root /root /sbin/init
INIT
	(cd "$first" && find . | cpio -o -H newc --quiet | gzip -1) >"$file.initrd"
	cp "$root"/boot/vmlinuz-* "$file.vmlinuz"
}
[ -z "$arch" ] || own_kernel

# With a journal: a power cut on a file system without one damages dpkg's own files.
truncate -s 2G "$work/image"
mke2fs -q -t ext4 -E lazy_itable_init=1,nodiscard -d "$root" "$work/image"
mv "$work/image" "$file"
