#!/bin/busybox sh
# The first process of a guest: brings up what the test needs, calls the test, and
# does what it says. Nothing here decides anything.
/bin/busybox mkdir -p /usr/bin /usr/sbin /sbin /proc /sys /dev /tmp /run /state
/bin/busybox --install -s
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts
word() { sed -n "s/.*\\b$1=\\([^ ]*\\).*/\\1/p" /proc/cmdline; }
for m in $(ls /modules); do
	insmod "/modules/$m" || echo "init: $m was refused" # the kernel says why
done
n=0
while ! [ -b /dev/vda ] && [ $n -lt 600 ]; do
	sleep 0.1
	n=$((n + 1))
done
ip link set lo up
ip address add 10.0.2.15/24 dev eth0
ip link set eth0 up
ip route add default via 10.0.2.2 # which is the test's machine, and leads nowhere else

if [ -n "$(word lab.debian)" ]; then
	mkdir -p /root
	mount -t ext4 /dev/vda /root || echo "init: no disk"
	mkdir -p /root/lab
	for f in /bin/*; do
		[ -L "$f" ] || cp "$f" /root/lab/
	done
	for p in nc wget; do # which a small Debian lacks
		ln -sf /lab/busybox "/root/usr/local/bin/$p"
	done
	cat >/root/etc/systemd/system/lab-agent.service <<-UNIT
		[Unit]
		Description=The lab's end in this machine
		DefaultDependencies=no
		After=local-fs.target
		[Service]
		Environment=HOME=/root
		ExecStart=/usr/local/bin/nc 10.0.2.2 $(word lab.port) -e /bin/bash
		Restart=always
	UNIT
	exec switch_root /root /sbin/init
fi

mount -t ext4 /dev/vda /state || echo "init: no disk"
while :; do
	nc 10.0.2.2 "$(word lab.port)" -e /bin/sh
	sleep 0.2
done
