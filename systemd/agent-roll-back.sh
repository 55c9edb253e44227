#!/bin/sh
# ExecStopPost= of rediacc-agent.service: a bundle that has never served and ends by a fault for the second time gives way to
# the one before it, which systemd then starts (Restart=always). Plain sh, since the bundle may be what is broken.
# Words: where the bundles are, the launcher. $SERVICE_RESULT: systemd.exec(5).
set -eu
lib=$1 launcher=$2
[ "${SERVICE_RESULT:-success}" != success ] || exit 0
current=$(readlink "$lib/current")
[ ! -e "$lib/$current/served" ] || exit 0
# Once may be anybody's kill.
if [ ! -e "$lib/$current/failed-once" ]; then
  : >"$lib/$current/failed-once"
  exit 0
fi
previous=$(readlink "$lib/previous") || exit 0
if [ "$previous" = "$current" ] || [ ! -f "$lib/$previous/renet.mjs" ]; then exit 0; fi

# Whoever brings this bundle again is told so (src/cli/ssh/agent-connect.ts). By rename: never half a line.
sha256sum "$lib/$current/renet.mjs" | cut -c 1-64 >"$lib/rolled-back.new"
mv -f "$lib/rolled-back.new" "$lib/rolled-back"
rm -f "$lib/current.new"
ln -s "$previous" "$lib/current.new"
mv -T "$lib/current.new" "$lib/current"
sync
echo "the agent in $current does not start: the one in $previous is put back"
"$launcher" install-units || echo "the units of $previous could not be put back"
