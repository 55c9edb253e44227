#!/bin/bash
# `renet` as a Rediaccfile function sees it, without a start of Node. Everything that it needs of the repository is in
# the environment already (src/lifecycle/function-call.ts, compose-environment.ts).
set -f
here=${BASH_SOURCE[0]%/*}

# The last word of ours: compose and wait have codes of their own.
refuse() {
  printf 'renet: %s\n' "$1" >&2
  exit 125
}

warn() { printf 'renet: %s\n' "$1" >&2; }

verb=${1-}
case $verb in
  compose | wait)
    shift
    if [[ -z ${REPOSITORY_PATH-} || -z ${REPOSITORY_NETWORK_ID-} || -z ${DOCKER_HOST-} ]]; then
      refuse "REPOSITORY_PATH, REPOSITORY_NETWORK_ID or DOCKER_HOST is missing: \"renet $verb\" runs inside a Rediaccfile function"
    fi
    . "$here/renet-flags.sh"
    . "$here/renet-files.sh"
    . "$here/renet-project.sh"
    . "$here/renet-$verb.sh"
    "renet_$verb" "$@"
    ;;
  *)
    refuse "inside a Rediaccfile only \"renet compose -- …\" and \"renet wait SERVICE…\" can be used"
    ;;
esac
