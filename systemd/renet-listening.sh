# shellcheck shell=bash
# Whether a running container without a health check listens. Its processes cannot be seen from here (function-init.sh), so on
# a bridge its ports are tried, and in the namespace itself the sockets are read as /proc/net/tcp tells them (proc_net_tcp: local
# address in hexadecimal, host byte order per 32 bits; state 0A: listen). TCP only: nobody answers a bare UDP packet.

# Sets verdict and why. Needs service, addresses, network and ports of the container.
judge_listening() {
  local sockets address port
  if [[ $network == host ]]; then
    sockets=$(listening_sockets)
    judge_in_namespace
    return
  fi
  for address in ${addresses//,/ }; do
    for port in ${ports//,/ }; do
      if is_tcp "$port" && accepts "$address" "${port%/tcp}"; then
        verdict=ready
        return
      fi
    done
  done
  why='it runs, but has no health check and no TCP port that its image or its "expose:" names takes a connection'
}

# "80/tcp" from an image, "80" from an "expose:" (compose hands on what is written there).
is_tcp() {
  [[ $1 =~ ^[0-9]+(/tcp)?$ ]]
}

accepts() {
  timeout 1 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>/dev/null
}

# All services of the namespace share its sockets. One on the service's own address is its own; whose one on all addresses
# is cannot be told, so its port must be one that the image exposes, if it exposes any.
judge_in_namespace() {
  local own='' pair where port exposed=''
  for pair in ${REDIACC_SERVICES-}; do
    if [[ ${pair%%=*} == "$service" ]]; then own=$(hexadecimal "${pair#*=}"); fi
  done
  for port in ${ports//,/ }; do
    if is_tcp "$port"; then exposed+=" $(printf '%04X' "${port%/tcp}")"; fi
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
  for file in /proc/net/tcp /proc/net/tcp6; do
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
