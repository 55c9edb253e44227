#!/bin/bash
# Copies an image by sharing its blocks while the filesystem inside it stands still. Runs as a unit of its own, so that
# whatever becomes of the agent or of this script, systemd calls "thaw" in the end (ExecStopPost=, RuntimeMaxSec=).
#   freeze-copy copy MOUNT_POINT IMAGE COPY FLAG | freeze-copy thaw MOUNT_POINT FLAG
# Exit code 75: the filesystem is frozen already, by somebody else.
set -u
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C

case $1 in
  copy)
    # The flag comes first: "thaw" must not miss a freeze of ours, nor end one of somebody else's.
    : > "$5" || exit 1
    from=${EPOCHREALTIME/./}
    if ! fsfreeze --freeze "$2"; then
      rm -f -- "$5"
      exit 75
    fi
    cp --reflink=always -- "$3" "$4"
    code=$?
    fsfreeze --unfreeze "$2" && rm -f -- "$5"
    to=${EPOCHREALTIME/./}
    echo "frozen for $((to - from)) us"
    exit $code
    ;;
  thaw)
    test -e "$3" || exit 0
    # It fails where the copy itself has just thawed it.
    fsfreeze --unfreeze "$2"
    rm -f -- "$3"
    ;;
esac
