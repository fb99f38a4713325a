#!/bin/busybox sh
# What dom0 does in the lab: lists, asks, lists again. Everything goes to the console between marks.
export PATH=/bin
busybox mkdir -p /proc /sys /dev
busybox mount -t proc proc /proc
busybox mount -t sysfs sysfs /sys
busybox mount -t devtmpfs devtmpfs /dev
for module in xen-evtchn xen-gntdev xen-privcmd; do
	[ -f "/modules/$module.ko" ] && busybox insmod "/modules/$module.ko"
done
busybox mkdir -p /dev/xen
for name in gntdev privcmd; do
	minor=$(busybox sed -n "s, xen/$name\$,,p" /proc/misc)
	[ -n "$minor" ] && [ ! -e "/dev/xen/$name" ] && busybox mknod "/dev/xen/$name" c 10 $minor
done
mark() { echo "@@lab $1"; }
busybox dmesg -n 1
mark iomem-before.txt
busybox cat /proc/iomem
mark requests.txt
for step in $(busybox sed 's/.*labsteps=\([^ ]*\).*/\1/; s/,/ /g' /proc/cmdline); do
	/trigger "${step%%:*}" "${step##*:}"
done
mark iomem-after.txt
busybox cat /proc/iomem
mark guest.dtb
busybox base64 /sys/firmware/fdt
mark dmesg.txt
busybox dmesg
# What a running dom0 tells by plain file reads, as `verify --live` takes it.
busybox mount -t debugfs debugfs /sys/kernel/debug
busybox mkdir -p /proc/xen /root
busybox mount -t xenfs xenfs /proc/xen
for path in /proc/iomem /proc/cmdline /proc/version /proc/config.gz /proc/xen/capabilities /sys/firmware/fdt \
	/sys/hypervisor/type /sys/hypervisor/version/major /sys/hypervisor/version/minor /sys/hypervisor/version/extra \
	/sys/kernel/debug/memblock/memory /sys/kernel/debug/memblock/reserved; do
	if [ -f "$path" ]; then
		busybox mkdir -p "/root${path%/*}"
		busybox cat "$path" >"/root$path"
	fi
done
busybox mkdir -p /root/dev
busybox timeout 5 busybox cat /dev/kmsg >/root/dev/kmsg
mark root.tar.gz
busybox tar -C /root -cf - . | busybox gzip -9 | busybox base64
mark end
busybox sleep 1
busybox poweroff -f
