#!/bin/sh
# IPv6 forwarding of the host, while a namespace is and where there is a way out over IPv6: rediacc-guard.service calls it.
#   forwarding6 on | forwarding6 off PATTERN_OF_BRIDGES...
# "off" undoes what "on" did, unless a bridge of somebody else has come in between.
set -eu
flag=/run/rediacc/forwarding6-was-off
cd /proc/sys/net/ipv6/conf 2> /dev/null || exit 0

case $1 in
  on)
    test "$(cat all/forwarding)" = 0 || exit 0
    ip -6 route show default | grep -q '^default' || exit 0
    # Forwarding for all makes a router of each interface. A router does not hear router advertisements, and what it has heard
    # is forgotten, the host's own default route with it, unless accept_ra is 2 (the kernel's ip-sysctl.rst). So they hear on
    # while it is switched, and afterwards each is the host that it was: packets are forwarded by the setting for all alone.
    hosts='' listeners=''
    for link in *; do
      test "$link" != all && test "$(cat "$link/forwarding")" = 0 || continue
      hosts="$hosts $link"
      test "$(cat "$link/accept_ra")" = 1 || continue
      listeners="$listeners $link"
      echo 2 > "$link/accept_ra"
    done
    mkdir -p "${flag%/*}"
    touch "$flag"
    echo 1 > all/forwarding
    for link in $hosts; do echo 0 > "$link/forwarding"; done
    for link in $listeners; do echo 1 > "$link/accept_ra"; done
    ;;
  off)
    shift
    rm "$flag" 2> /dev/null || exit 0
    for pattern; do
      for bridge in /sys/class/net/$pattern; do test ! -e "$bridge" || exit 0; done
    done
    echo 0 > all/forwarding
    ;;
esac
