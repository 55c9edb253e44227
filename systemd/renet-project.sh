# shellcheck shell=bash
# Which project compose works on. The agent has given every directory a name that a fork or a rename does not change
# (REDIACC_PROJECTS); what an author says wins: -p, COMPOSE_PROJECT_NAME, "name:" in a file, or the variable in an env file.

# Sets or unsets COMPOSE_PROJECT_NAME. Needs what parse_flags and find_files set.
settle_project() {
  if [[ -n $has_project || -z ${REDIACC_PROJECTS-} ]]; then return; fi
  if [[ -n ${COMPOSE_PROJECT_NAME-} && $COMPOSE_PROJECT_NAME != "${REDIACC_PROJECT-}" ]]; then return; fi
  unset COMPOSE_PROJECT_NAME
  if is_named_by_author; then return; fi
  local name
  # Elsewhere the name of the directory is as stable as the directory.
  if name=$(project_of "$base"); then export COMPOSE_PROJECT_NAME=$name; fi
}

is_named_by_author() {
  local file
  list_env_files "$base"
  if grep --quiet --no-messages -E '^[[:space:]]*(export[[:space:]]+)?COMPOSE_PROJECT_NAME[[:space:]]*[=:]' -- "${env_paths[@]}"; then
    return 0
  fi
  for file in "${files[@]}"; do
    if [[ $file == - ]]; then
      if grep --quiet -E "$name_line" <<<"$stdin_text"; then return 0; fi
    elif grep --quiet --no-messages -E "$name_line" -- "$file"; then
      return 0
    fi
  done
  return 1
}

name_line="^[\"']?name[\"']?[[:space:]]*:"

# REDIACC_PROJECTS is NAME=DIRECTORY joined by "/", which no directory's name contains; the mount itself is "".
project_of() {
  local directory entries entry
  if [[ $1 == "$REPOSITORY_PATH" ]]; then
    directory=''
  elif [[ $1 == "$REPOSITORY_PATH"/* ]]; then
    directory=${1#"$REPOSITORY_PATH"/}
  else
    return 1
  fi
  IFS=/ read -r -d '' -a entries <<<"$REDIACC_PROJECTS"
  for entry in "${entries[@]}"; do
    entry=${entry%$'\n'}
    if [[ ${entry#*=} == "$directory" ]]; then
      printf '%s' "${entry%%=*}"
      return 0
    fi
  done
  return 1
}
