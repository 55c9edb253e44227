# Runs on the server as root, sent over ssh by rdc (bootstrap-session.ts), which sets $lib and $bin before it.
# One verb per line on stdin, one answer "RDC1 ok VERB" or "RDC1 fail WHY" on stdout. rdc sends the bytes of a "put",
# and any next verb, only after the answer to the last one: so it does not matter how far a tool here reads ahead.
# Until "activate" has succeeded nothing outside $work is changed; whatever fails is undone by the trap.
set -eu
umask 022
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
work='' made_version='' made_node='' swapped='' old='' earlier=''

say() { printf 'RDC1 %s\n' "$*"; }

die() {
  say "fail $*"
  exit 1
}

# A symlink is replaced by rename, so that it never is absent.
point() {
  rm -f "$lib/$1.new"
  ln -s "$2" "$lib/$1.new"
  mv -T "$lib/$1.new" "$lib/$1"
}

undo() {
  if [ -n "$swapped" ]; then
    if [ -n "$old" ]; then point current "$old"; else rm -f "$lib/current"; fi
    if [ -n "$earlier" ]; then point previous "$earlier"; else rm -f "$lib/previous"; fi
    if [ -f "$work/launcher.old" ]; then mv -f "$work/launcher.old" "$bin"; else rm -f "$bin"; fi
  fi
  if [ -n "$made_version" ]; then rm -rf "$made_version"; fi
  if [ -n "$made_node" ]; then rm -rf "$made_node"; fi
  if [ -n "$work" ]; then rm -rf "$work"; fi
  # A first installation that failed leaves no empty directories.
  rmdir "$lib/versions" "$lib" 2>/dev/null || :
}
trap undo EXIT
# PIPE: rdc is gone, and an answer to it must not end the script before the undoing.
trap 'exit 1' HUP INT TERM PIPE

facts() {
  say "arch $(uname -m)"
  for node in "$lib"/node-*/bin/node /usr/bin/node /usr/local/bin/node /usr/bin/nodejs; do
    if [ -x "$node" ] && version=$("$node" -p process.versions.node 2>/dev/null </dev/null); then
      say "node $version $node"
    fi
  done
  if [ -x "$bin" ]; then say "launcher yes"; fi
  if [ -f "$lib/current/renet.mjs" ]; then
    say "current $(readlink "$lib/current")"
    say "bundle $(sha256sum "$lib/current/renet.mjs" | cut -c 1-64)"
  fi
  say ok facts
}

# A directory on a filesystem that can hold programs: /tmp and /run are often mounted noexec.
begin_temporary() {
  for base in /var/tmp /tmp /root; do
    work=$(mktemp -d "$base/rediacc.XXXXXX") || continue
    if cp /bin/true "$work/probe" 2>/dev/null && "$work/probe"; then break; fi
    rm -rf "$work"
    work=''
  done
  [ -n "$work" ] || die "no directory for temporary programs: /var/tmp, /tmp and /root are full or mounted noexec"
}

begin_install() {
  mkdir -p "$lib" || die "cannot write to $lib"
  # The directory itself is the lock: two setups of one installation exclude each other, and no file stays behind.
  exec 9<"$lib"
  flock -n 9 || die "another setup of this machine is running"
  rm -rf "$lib"/.incoming.*
  work=$(mktemp -d "$lib/.incoming.XXXXXX") || die "cannot write to $lib"
}

# name, bytes on the wire (gzip), sha256 of the content, mode
put() {
  say ready
  head -c "$2" | gzip -dc >"$work/$1" || die "cannot receive $1"
  printf '%s  %s\n' "$3" "$work/$1" | sha256sum -c --status || die "$1 does not match its checksum"
  chmod "$4" "$work/$1"
  sync "$work/$1"
}

# directory of the bundle, version of the uploaded node or "-", node to use where none was uploaded
activate() {
  version=$1 node=$3
  if [ -f "$work/node" ]; then node=$work/node; fi
  if [ -f "$work/renet.mjs" ]; then bundle=$work/renet.mjs; else bundle=$lib/versions/$version/renet.mjs; fi
  "$node" "$bundle" selftest >&2 || die "the agent does not run on this machine"

  if [ -f "$work/node" ]; then
    mkdir -p "$work/runtime/bin"
    mv "$work/node" "$work/runtime/bin/node"
    rm -rf "$lib/node-$2"
    mv -T "$work/runtime" "$lib/node-$2"
    made_node=$lib/node-$2
    node=$made_node/bin/node
  fi
  if [ -f "$work/renet.mjs" ]; then
    mkdir -p "$lib/versions" "$work/bundle"
    mv "$work/renet.mjs" "$work/bundle/renet.mjs"
    rm -rf "$lib/versions/$version"
    mv -T "$work/bundle" "$lib/versions/$version"
    made_version=$lib/versions/$version
  fi

  {
    printf '#!/bin/sh\n# Runs the agent of rdc. Written by rdc context setup-machine.\n'
    # The bridge alone starts faster than the whole agent.
    printf 'if [ "$1" = connect ] && [ -f %s/connect.mjs ]; then exec %s %s/connect.mjs; fi\n' "$lib" "$node" "$lib"
    # It is there for months and idle for most of them: memory before speed (NODE_OPTIONS= takes the first of the two only).
    printf 'if [ "$1" = daemon ]; then exec %s --v8-pool-size=1 --optimize-for-size %s/current/renet.mjs "$@"; fi\n' "$node" "$lib"
    printf 'exec %s %s/current/renet.mjs "$@"\n' "$node" "$lib"
  } >"$bin.new"
  chmod 755 "$bin.new"
  sync "$bin.new"
  old=$(readlink "$lib/current" || :)
  earlier=$(readlink "$lib/previous" || :)
  if [ -f "$bin" ]; then cp -p "$bin" "$work/launcher.old"; fi
  swapped=yes
  mv -f "$bin.new" "$bin"
  # Whatever became of this bundle before, it is tried anew (agent-roll-back.sh).
  rm -f "$lib/rolled-back" "$lib/versions/$version/failed-once"
  # First the way back, which the new one may need as soon as it is there. One that never served is none.
  if [ -n "$old" ] && [ "$old" != "versions/$version" ] && [ -e "$lib/$old/served" ]; then point previous "$old"; fi
  point current "versions/$version"
  "$bin" install-units >&2 || die "the agent could not install its units"
  sync
  if [ -n "$made_version$made_node" ]; then restart_agent; fi
  swapped='' made_version='' made_node=''
}

main_pid() { systemctl show --property MainPID --value rediacc-agent.service; }

# Only a daemon that runs makes room; otherwise its socket starts it with the next connection. It does so at once, unless
# runs go on: then it serves until they have ended.
restart_agent() {
  if ! [ -d /run/systemd/system ]; then return; fi
  before=$(main_pid)
  if [ "${before:-0}" = 0 ] || ! systemctl reload rediacc-agent.service >&2; then return; fi
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    if [ "$(main_pid)" != "$before" ]; then return; fi
    sleep 0.5
  done
}

leave_install() {
  rm -rf "$work"
  work=''
  exec 9<&-
}

facts
while read -r verb a b c d; do
  case $verb in
    begin) "begin_$a" ;;
    put) put "$a" "$b" "$c" "$d" ;;
    activate) activate "$a" "$b" "$c" ;;
    connect)
      if [ -n "$work" ]; then leave_install; fi
      say "ok $verb"
      exec "$bin" connect
      ;;
    stdio)
      say "ok $verb"
      if [ -f "$work/node" ]; then a=$work/node; fi
      "$a" "$work/renet.mjs" stdio
      exit
      ;;
    *) die "unknown verb" ;;
  esac
  say "ok $verb"
done
