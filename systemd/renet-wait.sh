# shellcheck shell=bash
# `renet wait SERVICE… [--timeout 60s]`: until every service of the project is ready, or one cannot become so.
# Ready: healthy where there is a health check; ended with 0; else listening (renet-listening.sh).

renet_wait() {
  parse_wait_words "$@"
  . "$here/renet-listening.sh"
  find_wait_project
  local started now service
  started=$(uptime_ms)
  local -A reason=() culprit=()
  local -a waiting=("${wanted[@]}") hopeless=()
  local nap=0.2
  while :; do
    look_at_services
    if ((${#waiting[@]} == 0 && ${#hopeless[@]} == 0)); then exit 0; fi
    now=$(uptime_ms)
    if ((${#hopeless[@]} > 0 || now - started >= timeout_ms)); then fail_waiting; fi
    # Never past the limit, and slower once it takes longer.
    local left=$((timeout_ms - (now - started)))
    if ((now - started > 5000)); then nap=1; fi
    if ((left < 200)); then nap=0.$(printf '%03d' "$left"); fi
    sleep "$nap"
  done
}

parse_wait_words() {
  files=() env_files=() globals=() model_flags=() wanted=()
  project_directory='' has_project='' timeout_ms=60000
  local project=''
  while (($# > 0)); do
    case $1 in
      --timeout=*) timeout_ms=$(milliseconds "${1#*=}") || exit; shift ;;
      --timeout) timeout_ms=$(milliseconds "${2-}") || exit; shift; if (($# > 0)); then shift; fi ;;
      -p | --project-name) project=${2-} has_project=yes; shift; if (($# > 0)); then shift; fi ;;
      --) shift; wanted+=("$@"); break ;;
      -*) wait_usage "unknown option \"$1\"" ;;
      *) wanted+=("$1"); shift ;;
    esac
  done
  if ((${#wanted[@]} == 0)); then wait_usage "which service?"; fi
  local service
  for service in "${wanted[@]}"; do
    if [[ ! $service =~ ^[A-Za-z0-9._-]+$ ]]; then wait_usage "\"$service\" is no legal name of a service"; fi
  done
  if [[ -n $has_project ]]; then export COMPOSE_PROJECT_NAME=$project; fi
}

wait_usage() {
  printf 'renet: %s\nusage: renet wait SERVICE… [--timeout 60s] [-p PROJECT]\n' "$1" >&2
  exit 2
}

# 60, 60s, 2m, 1h, 500ms
milliseconds() {
  if [[ ! $1 =~ ^([0-9]{1,9})(ms|s|m|h)?$ ]]; then wait_usage "\"$1\" is no duration; write 500ms, 60s or 2m"; fi
  local number=$((10#${BASH_REMATCH[1]}))
  case ${BASH_REMATCH[2]} in
    ms) printf '%d' "$number" ;;
    m) printf '%d' $((number * 60000)) ;;
    h) printf '%d' $((number * 3600000)) ;;
    *) printf '%d' $((number * 1000)) ;;
  esac
}

# Milliseconds that no change of the clock moves (proc_uptime(5)).
uptime_ms() {
  local up rest
  read -r up rest </proc/uptime
  printf '%d' $((10#${up/./} * 10))
}

# The name that compose gives to what is in this directory.
find_wait_project() {
  find_files
  settle_project
  wait_project=${COMPOSE_PROJECT_NAME-}
  if [[ -n $wait_project ]]; then return; fi
  local model
  model=$(docker compose config </dev/null) || exit
  [[ $model =~ ^name:\ ([^$'\n']+) || $model =~ $'\n'name:\ ([^$'\n']+) ]] || refuse "compose does not tell the name of its project"
  unquote "${BASH_REMATCH[1]}"
  wait_project=$text
}

# One line per container; no daemon may hold the loop up. The fields are those of docker's own structure: at a name that only the JSON has,
# docker goes over to the JSON, where a key that is absent is an error.
readonly LOOK='{{.ID}} {{index .Config.Labels "com.docker.compose.service"}} {{.State.Status}} {{.State.ExitCode}} {{.RestartCount}} -{{range .NetworkSettings.Networks}}{{.IPAddress}},{{end}} {{.HostConfig.NetworkMode}} {{if .State.Health}}{{.State.Health.Status}}{{else}}-{{end}} {{range $port, $_ := .Config.ExposedPorts}}{{$port}},{{end}}'

# Sets waiting, hopeless, and a reason and a container to blame for each.
look_at_services() {
  local ids='' found='' id service status code restarts addresses network health ports
  waiting=() hopeless=()
  local -A seen=() bad=()
  for service in "${wanted[@]}"; do reason[$service]='it has no container'; done
  if ! ids=$(timeout 10 docker ps --all --quiet --no-trunc --filter "label=com.docker.compose.project=$wait_project" \
    --filter label=com.docker.compose.oneoff=False 2>&1); then
    for service in "${wanted[@]}"; do reason[$service]="docker does not answer: ${ids##*$'\n'}"; done
    waiting=("${wanted[@]}")
    return
  fi
  # One that is gone meanwhile is told on stderr; the others still come.
  if [[ -n $ids ]]; then found=$(timeout 10 docker inspect --type container --format "$LOOK" $ids 2>/dev/null); fi
  while read -r id service status code restarts addresses network health ports; do
    if [[ -z $service || -z ${reason[$service]-} ]]; then continue; fi
    addresses=${addresses#-}
    judge
    seen[$service]=yes
    case $verdict in
      ready) continue ;;
      never) bad[$service]=never ;;
      *) bad[$service]=${bad[$service]-later} ;;
    esac
    reason[$service]=$why culprit[$service]=$id
  done <<<"$found"
  for service in "${wanted[@]}"; do
    case ${bad[$service]-} in
      never) hopeless+=("$service") ;;
      later) waiting+=("$service") ;;
      *) if [[ -z ${seen[$service]-} ]]; then waiting+=("$service"); fi ;;
    esac
  done
}

# Sets verdict (ready, later, never) and why.
judge() {
  verdict=later why="it is $status"
  case $status in
    exited)
      verdict=never why="it ended with exit code $code"
      if ((code == 0)); then verdict=ready; fi
      ;;
    dead) verdict=never why='its container is dead' ;;
    restarting) why="it restarts again and again ($restarts times, last exit code $code)" ;;
    running)
      case $health in
        healthy) verdict=ready ;;
        -) judge_listening ;;
        *) why="its health check says \"$health\"" ;;
      esac
      if ((restarts > 0)); then why+=", after $restarts restarts"; fi
      ;;
  esac
}

fail_waiting() {
  local service took
  took=" within $((timeout_ms / 1000)).$(printf '%03d' $((timeout_ms % 1000))) s"
  took=${took/.000/}
  for service in "${hopeless[@]}" "${waiting[@]}"; do
    if [[ " ${hopeless[*]} " == *" $service "* ]]; then took_here=''; else took_here=$took; fi
    printf 'renet: service "%s" is not ready%s: %s\n' "$service" "$took_here" "${reason[$service]}" >&2
    if [[ -n ${culprit[$service]-} ]]; then
      printf '  the last lines of its log:\n' >&2
      timeout 10 docker logs --tail 20 "${culprit[$service]}" 2>&1 | sed 's/^/  | /' >&2
    fi
  done
  exit 1
}
