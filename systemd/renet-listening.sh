# shellcheck shell=bash
# Whether a running container without a health check listens, by the sockets of its network namespace as
# /proc/PID/net/tcp tells them (proc_net_tcp: local address in hexadecimal, host byte order per 32 bits; state 0A: listen).
# TCP only: a bound UDP socket may as well be a client's. On loopback nobody else reaches it, and docker's own resolver
# listens on 127.0.0.11.

# Sets verdict and why. Needs service, pid, network and ports of the container.
judge_listening() {
  local sockets where
  sockets=$(listening_sockets "$pid")
  if [[ $network == host ]]; then
    judge_in_namespace
    return
  fi
  for where in $sockets; do
    case $where in
      ??????7F:* | 00000000000000000000000001000000:* | 0000000000000000FFFF0000??????7F:*) ;;
      *)
        verdict=ready
        return
        ;;
    esac
  done
  why='it runs, but no TCP port listens and it has no health check'
}

# All services of the namespace share its sockets. One on the service's own address is its own; whose one on all addresses
# is cannot be told, so its port must be one that the image exposes, if it exposes any.
judge_in_namespace() {
  local own='' pair where port exposed=''
  for pair in ${REDIACC_SERVICES-}; do
    if [[ ${pair%%=*} == "$service" ]]; then own=$(hexadecimal "${pair#*=}"); fi
  done
  for port in ${ports//,/ }; do
    if [[ $port == */tcp ]]; then exposed+=" $(printf '%04X' "${port%/tcp}")"; fi
  done
  for where in $sockets; do
    port=${where##*:}
    case $where in
      "${own:-none}":* | "0000000000000000FFFF0000${own:-none}":*)
        verdict=ready
        return
        ;;
      00000000:* | 00000000000000000000000000000000:*)
        if [[ -z $exposed || " $exposed " == *" $port "* ]]; then
          verdict=ready
          return
        fi
        ;;
    esac
  done
  why='it runs, but listens neither on its own address nor, on a port that its image exposes, on all addresses'
}

# ADDRESS:PORT of each, in hexadecimal.
listening_sockets() {
  local file number local_address remote state rest
  for file in "/proc/$1/net/tcp" "/proc/$1/net/tcp6"; do
    if [[ ! -r $file ]]; then continue; fi
    while read -r number local_address remote state rest; do
      if [[ $state == 0A ]]; then printf '%s\n' "$local_address"; fi
    done <"$file"
  done
}

# 127.0.11.2 -> 020B007F
hexadecimal() {
  local a b c d
  IFS=. read -r a b c d <<<"$1"
  printf '%02X%02X%02X%02X' "$d" "$c" "$b" "$a"
}
