#!/bin/bash
# A real systemd as process 1 of its own PID, mount, IPC, UTS, cgroup and network namespaces, over an overlay of a root
# folder that is thrown away. Nothing that it writes reaches this machine: the overlay's upper layer, /run and /tmp are
# in memory, and every mount and process ends with this script's.
#
#   boot.sh STATE CGROUP [SOURCE TARGET]...
#
# STATE is an empty folder, CGROUP one of the cgroup2 hierarchy; each SOURCE folder is bound to TARGET inside. All are
# absolute paths, and none is inside another. The script becomes `unshare`, whose child is the systemd. LOWER=/folder
# takes another Debian than this one, SIZE=2g bounds what can be written, LOG=debug has systemd say more.
# tests/support/systemd.py starts it.
set -euo pipefail

inner() {
	state=$1; shift
	mount --make-rprivate /
	mount -t tmpfs -o "size=${SIZE:-2g},mode=755" tmpfs "$state"
	cd "$state"
	mkdir upper work root
	mount -t overlay overlay -o lowerdir="${LOWER:-/}",upperdir=upper,workdir=work root
	root=$state/root
	mount -t tmpfs -o mode=755 tmpfs "$root/run"
	mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
	mount -t proc proc "$root/proc"
	mount -t sysfs sysfs "$root/sys" 2>/dev/null || mount --rbind /sys "$root/sys"
	mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
	mount -t tmpfs -o mode=755 tmpfs "$root/dev"
	mkdir "$root/dev/pts" "$root/dev/shm"
	mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
	mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
	for node in null zero full random urandom tty; do
		cp -a "/dev/$node" "$root/dev/$node"
	done
	ln -s pts/ptmx "$root/dev/ptmx"
	ln -s /proc/self/fd "$root/dev/fd"
	while [ $# -ge 2 ]; do
		mkdir -p "$root$2"
		mount --bind "$1" "$root$2"
		shift 2
	done
	# What this machine starts at boot stays off; a test starts what it needs.
	rm -rf "$root"/etc/systemd/system/*.wants
	# Images of containers have it to keep packages from starting what they install.
	rm -f "$root/usr/sbin/policy-rc.d"
	# These would change this machine's kernel, which is shared.
	mount -o bind,ro "$root/proc/sys" "$root/proc/sys"
	for unit in systemd-sysctl systemd-modules-load systemd-remount-fs systemd-udevd systemd-udev-trigger; do
		ln -sf /dev/null "$root/etc/systemd/system/$unit.service"
	done
	# Without an id of the machine systemd takes this for a first boot, and asks questions.
	tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
	echo roomd-test >"$root/etc/hostname"
	ip link set lo up
	cd "$root"
	mkdir -p .old
	pivot_root . .old
	umount -l /.old
	# Mounts of a service, like those of LoadCredential, arrive only so; systemd leaves it to who made the container.
	mount --make-rshared /
	exec env -i container=roomd-test PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		/lib/systemd/systemd --system --unit=basic.target --log-target=console --log-level="${LOG:-warning}" \
		</dev/null
}

if [ "$1" = inner ]; then
	shift
	inner "$@"
fi
echo $$ >"$2/cgroup.procs"
state=$1; shift 2
exec unshare --fork --pid --mount --cgroup --uts --ipc --net --kill-child bash "$0" inner "$state" "$@" </dev/null
