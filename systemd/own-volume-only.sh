# shellcheck shell=sh
# Sourced in a mount namespace that was just made and into which nothing is propagated (unshare(1), --mount). The view that systemd
# makes for a unit has a tmpfs in the place of the datastore, with the repository's own volume bound through. What the host mounts
# meanwhile may lie below that tmpfs, out of sight (systemd cannot unmount the datastore there while something comes into it, or
# it is a directory of the root filesystem): the copy of it in this namespace would stay when the host unmounts it, and another
# repository's volume could not be closed as long as this one runs. So it is taken away.
(
  set -f
  tmpfs=' ' cover='' hidden=''
  # proc_pid_mountinfo(5): "id parent major:minor root point options [optional fields] - type source options".
  while read -r id parent _ _ point rest; do
    case ${rest#* - } in
      'tmpfs '*) tmpfs="$tmpfs$id:$point " ;;
      *' /dev/mapper/rediacc-'*)
        case $tmpfs in
          *" $parent:"*)
            cover=$parent
            place=${tmpfs#*" $parent:"}
            place=${place%% *}
            break
            ;;
        esac
        ;;
    esac
  done </proc/self/mountinfo
  if test -z "$cover"; then
    echo "own-volume-only: the repository's own volume is not mounted here" >&2
    exit 1
  fi
  # What stands on the tmpfs is to be seen. Of the rest the newest goes first.
  visible=" $cover "
  while read -r id parent _ _ point _; do
    case $visible in
      *" $parent "*) visible="$visible$id " ;;
      *" $id "*) ;;
      *) case $point in "$place" | "$place"/*) hidden="$point $hidden" ;; esac ;;
    esac
  done </proc/self/mountinfo
  test -n "$hidden" || exit 0
  mkdir /run/cover && mount --move "$place" /run/cover || exit 1
  for point in $hidden; do umount "$point" || exit 1; done
  mount --move /run/cover "$place" && rmdir /run/cover
)
