#!/bin/bash
# Copies an image by sharing its blocks while the filesystem inside it stands still, for SECONDS at most: it thaws by itself,
# also while the copy hangs and does not even end when it is killed. Runs as a unit of its own, so that whatever becomes of the
# agent or of this script, systemd calls "thaw" in the end (ExecStopPost=).
#   freeze-copy copy MOUNT_POINT IMAGE COPY FLAG SECONDS | freeze-copy thaw MOUNT_POINT FLAG
# Exit code 75: the filesystem is frozen already, by somebody else. 124: the time was over.
set -u
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C

case $1 in
  copy)
    # The flag comes first: "thaw" must not miss a freeze of ours, nor end one of somebody else's.
    : > "$5" || exit 1
    # Before the freeze: under it not even a process more is to be asked for.
    sleep "$6" &
    limit=$!
    from=${EPOCHREALTIME/./}
    if ! fsfreeze --freeze "$2"; then
      rm -f -- "$5"
      kill "$limit"
      exit 75
    fi
    cp --reflink=always -- "$3" "$4" &
    copy=$!
    wait -n -p ended "$copy" "$limit"
    code=$?
    fsfreeze --unfreeze "$2" && rm -f -- "$5"
    to=${EPOCHREALTIME/./}
    echo "frozen for $((to - from)) us"
    if [ "$ended" = "$limit" ]; then
      echo "it took longer than $6 s" >&2
      kill -KILL "$copy"
      exit 124
    fi
    kill "$limit"
    exit $code
    ;;
  thaw)
    test -e "$3" || exit 0
    # It fails where the copy itself has just thawed it.
    fsfreeze --unfreeze "$2"
    rm -f -- "$3"
    ;;
esac
