# shellcheck shell=bash
# `renet compose -- ARGS`: docker compose with the author's files and one more, which gives every service its labels and,
# to those in the namespace itself, the names of the others. See docs/decisions/0004-renet-compose.md.

renet_compose() {
  if [[ ${1-} == -- ]]; then shift; fi
  parse_flags "$@"
  if [[ -n $strange ]]; then
    warn "\"$strange\" is not known here, so compose runs without the rediacc.* labels; put it after the sub command, or use docker compose"
  fi
  if [[ -n $strange || -z $sub || $sub == version || $sub == help ]]; then exec docker compose "$@"; fi
  find_files
  settle_project
  case $sub in
    up | create | run | scale | watch) ;;
    *) run_compose "$@" ;;
  esac
  case ${after[0]-} in
    -h | --help) run_compose "$@" ;;
  esac
  # Nothing to label: compose tells what it misses.
  if [[ $source == none || -z ${files[*]} ]]; then run_compose "$@"; fi
  . "$here/renet-override.sh"
  read_model
  make_override
  if [[ -z $override ]]; then run_compose "$@"; fi
  run_with_override
}

# Does not come back: signals, the terminal and the exit code are compose's own.
run_compose() {
  if [[ -n $has_stdin ]]; then exec docker compose "$@" <<<"$stdin_text"; fi
  exec docker compose "$@"
}

run_with_override() {
  if [[ $source == flags ]]; then
    local where=()
    # The directory of the added file must not become the project's.
    if [[ -n $only_stdin && -z $project_directory ]]; then where=(--project-directory "$base"); fi
    run_compose "${globals[@]}" "${where[@]}" -f "$override" "$sub" "${after[@]}"
  fi
  # By the variable and not by -f: compose then looks for its .env in the same places as without us.
  local joined
  joined=$(printf '%s\n' "${files[@]}")
  export COMPOSE_FILE="$joined"$'\n'"$override" COMPOSE_PATH_SEPARATOR=$'\n'
  run_compose "${globals[@]}" "$sub" "${after[@]}"
}

# The model as compose itself resolves it, so that extends, include, profiles, variables and overrides are its affair.
read_model() {
  # With all profiles: up and run start a service that they name, whatever its profile. That fails where a profile that
  # is not wanted lacks its env file; the second try then says what is wrong with what is wanted.
  model=$(ask_for_model --profile '*' 2>/dev/null) || model=$(ask_for_model) || exit
}

ask_for_model() {
  if [[ -n $has_stdin ]]; then
    docker compose "${model_flags[@]}" "$@" config <<<"$stdin_text"
  else
    docker compose "${model_flags[@]}" "$@" config </dev/null
  fi
}
