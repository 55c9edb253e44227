#!/bin/sh
# First process of a function's own PID namespace: it sees and can signal no process but those that it starts. /proc is
# mounted read-only, since what is below /proc/sys belongs to the machine. Then the one right that this took is dropped
# for good, also for programs with set-user-ID (capabilities(7), bounding set).
mount -t proc -o ro,nosuid,nodev,noexec proc /proc || exit 125
. /usr/lib/rediacc/own-volume-only || exit 125
exec setpriv --bounding-set=-sys_admin --inh-caps=-all -- "$@"
