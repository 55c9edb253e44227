#!/bin/sh
set -e

# An option or a configuration file is meant for redis-server.
if [ "${1#-}" != "$1" ] || [ "${1%.conf}" != "$1" ]; then
  set -- redis-server "$@"
fi

if [ "$1" = redis-server ] && [ "$(id -u)" = 0 ]; then
  find . -xdev \! -user redis -exec chown -h redis '{}' +
  exec gosu redis "$0" "$@"
fi

# Debian's build refuses clients from other hosts unless told otherwise; the official image's does not.
said_so() {
  case " $* " in *' --protected-mode '*) return 0 ;; esac
  case "$2" in *.conf) grep -q '^[[:space:]]*protected-mode' "$2" ;; *) return 1 ;; esac
}
if [ "$1" = redis-server ] && ! said_so "$@"; then
  set -- "$@" --protected-mode no
fi

if [ "$(umask)" = 0022 ]; then
  umask 0077
fi
exec "$@"
