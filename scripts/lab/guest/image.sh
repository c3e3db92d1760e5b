#!/usr/bin/env bash
# Makes the disk image of a Debian machine for the lab, into FILE:
#
#   image.sh SUITE FILE [MODULES [PACKAGE,PACKAGE]]       SUITE is bookworm or trixie
#
# The machine has systemd as its first process, and runs the commands that are put
# into a directory of the host (see lab-agent below). MODULES is a folder of kernel
# modules for the lab's kernel. Needs root, mmdebstrap and e2fsprogs.
set -euo pipefail
suite=$1 file=$2 modules=${3:-} more=${4:-}

work=$(mktemp -d "$file.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root

# The mirror that this machine itself uses, with its own keyring.
mirror=$(awk '/^URIs:/ { print $2; exit }' /etc/apt/sources.list.d/*.sources 2>/dev/null || true)
[ -n "$mirror" ] || mirror=$(awk '$1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /^http/) { print $i; exit } }' /etc/apt/sources.list)
key=/usr/share/keyrings/debian-archive-keyring.gpg
packages=systemd,systemd-sysv,udev,dbus,kmod,iproute2,iputils-ping,wireguard-tools,nftables,ca-certificates,procps,curl
printf 'deb [signed-by=%s] %s %s main\n' "$key" "$mirror" "$suite" |
	mmdebstrap --quiet --variant=apt --include="$packages${more:+,$more}" --aptopt='Acquire::Check-Valid-Until "false"' \
		--dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
		"$suite" "$root" - >&2

# Nothing that waits for a network, a clock or a person.
for unit in systemd-firstboot.service apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
	systemd-timesyncd.service dpkg-db-backup.timer systemd-networkd-wait-online.service; do
	ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
: >"$root/etc/fstab"
: >"$root/etc/machine-id" # empty, so that each machine makes its own
echo lab >"$root/etc/hostname"
[ -z "$modules" ] || cp -a "$modules/." "$root/lib/modules/"

# The machine's end of the lab: it runs DIR/q/*.sh of the host, and leaves what they
# printed and their exit codes beside them.
install -D -m 0755 /dev/stdin "$root/usr/local/sbin/lab-agent" <<'AGENT'
#!/bin/bash
word() { sed -n "s/.*\\b$1=\\([^ ]*\\).*/\\1/p" /proc/cmdline; }
dir=$(word lab.dir)
mkdir -p /lab
mount -t hostfs -o "hostfs=$dir" none /lab || mount -t hostfs -o "$dir" none /lab
hostname "$(word lab.name)"
ip link set lo up
ip address add "$(word lab.address)/24" dev vec0
ip link set vec0 up
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
cat >"$root/etc/systemd/system/lab-agent.service" <<'UNIT'
[Unit]
Description=The lab's end in this machine
DefaultDependencies=no
After=local-fs.target
[Service]
Environment=HOME=/root
ExecStart=/usr/local/sbin/lab-agent
[Install]
WantedBy=multi-user.target
UNIT
ln -sf ../lab-agent.service "$root/etc/systemd/system/multi-user.target.wants/lab-agent.service"

# With a journal: a power cut on a file system without one damages dpkg's own files.
truncate -s 2G "$work/image"
mke2fs -q -t ext4 -E lazy_itable_init=1,nodiscard -d "$root" "$work/image"
mv "$work/image" "$file"
