#!/bin/bash
# Starts the docker daemon of one repository as the first process of namespaces of its own, so that it and its
# containers, also those with `pid: host`, `ipc: host` or a bind of "/", see no process, no cgroup and no kernel setting
# of the host or of another repository. What they see of its files is in the unit (TemporaryFileSystem=, BindPaths=).
#   docker-init start CONFIG | docker-init reload MAIN_PID | docker-init stop MAIN_PID
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin

# Signal $1 to the dockerd below the unit's main process $2: its child is unshare, whose one child is the first process of the
# namespace, and dockerd is a child of that. Fails where there is none.
tell_dockerd() {
  local above=$2 first
  # A unit that an earlier version has started has unshare itself.
  test "$(cat "/proc/$2/comm")" = unshare || above=$(pgrep --parent "$2" --exact unshare)
  first=$(pgrep --parent "$above")
  pkill --signal "$1" --exact --parent "$first" dockerd
}

case $1 in
  start)
    # The unit's own cgroup becomes the root of all that can be seen (cgroup_namespaces(7)).
    exec unshare --cgroup -- "$0" leaf "$2" "$(sed -n 's/^0:://p' /proc/self/cgroup)"
    ;;
  leaf)
    # A cgroup that hands controllers on to its children holds no process itself (cgroups(7), "no internal processes").
    mkdir -p "/sys/fs/cgroup$3/daemon"
    echo $$ > "/sys/fs/cgroup$3/daemon/cgroup.procs"
    unshare --pid --mount --fork --kill-child -- "$0" init "$2" &
    # A unit that is still starting is stopped by a signal to its main process, this one, and not by ExecStop=
    # (systemd.service(5)). Before there is a dockerd, there is nothing that could be lost.
    is_told=
    trap 'is_told=1; tell_dockerd TERM $$ || kill -KILL $!' TERM
    code=0
    # The signal ends a wait, and unshare only later.
    while kill -0 $! 2>/dev/null; do wait $! && code=0 || code=$?; done
    # An end that was asked for is no fault.
    test -z "$is_told" || code=0
    exit $code
    ;;
  init)
    mount -t proc -o nosuid,nodev,noexec proc /proc
    . /usr/lib/rediacc/own-volume-only
    # These are the whole machine's, whatever the namespace: a bind of "/" would hand them to a container.
    for path in sys sysrq-trigger irq bus fs acpi; do
      test -e /proc/$path || continue
      mount --bind /proc/$path /proc/$path
      mount -o remount,bind,ro,nosuid,nodev,noexec /proc/$path
    done
    # The settings of the own network namespace are dockerd's to make.
    mount --bind /proc/sys/net /proc/sys/net
    mount -o remount,bind,rw,nosuid,nodev,noexec /proc/sys/net
    umount --recursive /sys
    mount -t sysfs -o ro,nosuid,nodev,noexec sysfs /sys
    mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 /sys/fs/cgroup
    # dockerd loads its AppArmor profile where the kernel has AppArmor.
    if test -d /sys/kernel/security; then mount -t securityfs -o nosuid,nodev,noexec securityfs /sys/kernel/security; fi
    mount -t tmpfs -o nosuid,nodev,size=64m,mode=1777 tmpfs /dev/shm
    # Compose files that bind the docker socket get the repository's own.
    ln -s "${2%/*}/docker.sock" /run/docker.sock
    # What a daemon that was killed has left: the numbers are of a namespace that is gone, and in this one most of them are
    # taken by something else, so that dockerd and containerd would refuse to start, again and again.
    rm -f -- "${2%/*}/docker.pid" "${2%/*}/exec/containerd/containerd.pid"
    # The first process of a namespace also collects the orphans in it (pid_namespaces(7)), which bash does while it waits.
    # It handles no signal, so none can come between: dockerd is told by itself, from outside.
    dockerd --config-file "$2" &
    wait $!
    ;;
  reload)
    # dockerd reads mirrors and the like anew (dockerd(8), "live reload").
    tell_dockerd HUP "$2" || exit 0
    ;;
  stop)
    tell_dockerd TERM "$2" || exit 0
    exec tail --follow --sleep-interval=0.2 --pid="$2" /dev/null
    ;;
esac
