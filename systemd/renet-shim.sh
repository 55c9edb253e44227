#!/bin/bash
# `renet` as a Rediaccfile function sees it: docker compose on the repository's own daemon, without a start of Node.
# DOCKER_HOST and the {SERVICE}_IP variables are in the environment already; arguments and exit code pass through.
case "${1-}" in
  compose)
    shift
    if [ "${1-}" = -- ]; then shift; fi
    exec docker compose "$@"
    ;;
  *)
    echo "renet: inside a Rediaccfile only \"renet compose -- …\" can be used" >&2
    exit 125
    ;;
esac
