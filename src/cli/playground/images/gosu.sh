#!/bin/sh
# gosu USER[:GROUP] COMMAND..: becomes the user and runs the command in its own place, so that signals reach it.
# The official images use a program of that name; setpriv does the same.
set -e
user=${1%%:*}
group=${1#"$user"}
group=${group#:}
shift
account=$(awk -F: -v user="$user" '$1 == user || $3 == user { print $4, $6; exit }' /etc/passwd)
groups=--init-groups
if [ -z "$account" ] || [ -n "$group" ]; then
  groups=--clear-groups
fi
if [ -z "$group" ]; then
  group=${account%% *}
fi
HOME=${account#* }
export HOME="${HOME:-/}"
# By its path: this shell would run busybox's smaller setpriv otherwise.
exec /usr/bin/setpriv --reuid="$user" --regid="${group:-0}" "$groups" -- "$@"
