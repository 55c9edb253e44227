# shellcheck shell=bash
# Which files compose reads, and from where: by compose-go's rules (cli/options.go: WithConfigFileEnv,
# WithDefaultConfigPath, GetWorkingDir; docker compose's setEnvWithDotEnv).

# find_files sets: source (flags, variable, default or none), files, base (the project directory), has_stdin and
# stdin_text where a file is "-", only_stdin where no other is named. Needs what parse_flags sets.
find_files() {
  source=flags has_stdin='' stdin_text='' only_stdin=''
  if ((${#files[@]} == 0)); then find_files_without_flags; fi
  base=$(lexical "${project_directory:-$(base_of_files)}")
  local file
  for file in "${files[@]}"; do
    if [[ $file == - ]]; then has_stdin=yes; fi
    if [[ $file != - ]]; then only_stdin=no; fi
  done
  # Read once here, and given to every start of compose.
  if [[ -n $has_stdin ]]; then stdin_text=$(cat); fi
  if [[ -n $has_stdin && -z $only_stdin ]]; then only_stdin=yes; else only_stdin=''; fi
}

# Absolute and without "..", links left as they are (Go's filepath.Abs).
lexical() { realpath --canonicalize-missing --no-symlinks -- "$1"; }

find_files_without_flags() {
  source=none
  local named='' separator=: by_env_file=''
  if [[ -n ${COMPOSE_FILE+set} ]]; then
    named=$COMPOSE_FILE separator=${COMPOSE_PATH_SEPARATOR-:} source=variable
  else
    find_default_files
  fi
  # An env file may name the files, or tell how they are separated.
  list_env_files "$(lexical "${project_directory:-$(base_of_files)}")"
  if grep --quiet --no-messages -E '^[[:space:]]*(export[[:space:]]+)?COMPOSE_(FILE|PATH_SEPARATOR)' -- "${env_paths[@]}"; then
    ask_compose_for_files
  fi
  if [[ $source == variable ]]; then
    # A here-string and not "$named": its end is the last item's.
    mapfile -t files <<<"${named//"${separator:-:}"/$'\n'}"
  fi
  if [[ -n $by_env_file ]]; then keep_env_file; fi
}

# Compose reads the file that names the others before it knows them, and then the one beside the first of them, which gives
# way. From COMPOSE_FILE in the environment alone it would read only the latter: both are named to it.
keep_env_file() {
  local own=${env_paths[0]} beside path
  beside=$(lexical "${project_directory:-$(base_of_files)}")/.env
  if ((${#env_files[@]} > 0)) || [[ -n ${COMPOSE_ENV_FILES-} || $beside == "$own" ]]; then return; fi
  for path in "$beside" "$own"; do
    if [[ -f $path ]]; then env_files+=("$path") globals+=(--env-file "$path"); fi
  done
}

# compose's own reading of the env files: quotes, "export" and variables in them are its affair.
ask_compose_for_files() {
  local answer line probe
  probe=$'name: probe\nservices:\n  probe:\n    image: probe\n    labels:\n      file: ":${COMPOSE_FILE-}"\n      separator: ":${COMPOSE_PATH_SEPARATOR-}"\n'
  local words=() path
  for path in "${env_paths[@]}"; do words+=(--env-file "$path"); done
  answer=$(docker compose "${words[@]}" -f - config <<<"$probe" 2>/dev/null) || return
  while IFS= read -r line; do
    case $line in
      '      file: '*)
        unquote "${line#*: }"
        if [[ $text == :?* ]]; then named=${text:1} source=variable by_env_file=yes; fi
        ;;
      '      separator: '*)
        unquote "${line#*: }"
        separator=${text:1}
        ;;
    esac
  done <<<"$answer"
}

# A scalar as compose's YAML writer gives it, into text.
unquote() {
  text=$1
  case $text in
    \"*\") text=${text:1:-1} text=${text//\\\"/\"} text=${text//\\\\/\\} ;;
    \'*\') text=${text:1:-1} text=${text//\'\'/\'} ;;
  esac
}

# In the project directory, or the working directory, or the nearest parent; then the override file beside it.
find_default_files() {
  local directory name found=()
  directory=$(lexical "${project_directory:-$PWD}")
  while :; do
    for name in compose.yaml compose.yml docker-compose.yml docker-compose.yaml; do
      if [[ -e $directory/$name ]]; then found+=("${directory%/}/$name"); fi
    done
    if ((${#found[@]} > 0)); then break; fi
    if [[ $directory == / ]]; then return; fi
    directory=${directory%/*} directory=${directory:-/}
  done
  source=default files=("${found[0]}")
  for name in compose.override.yml compose.override.yaml docker-compose.override.yml docker-compose.override.yaml; do
    if [[ -e $directory/$name ]]; then
      files+=("${directory%/}/$name")
      return
    fi
  done
}

# The directory of the first file that is one.
base_of_files() {
  local file
  for file in "${files[@]}"; do
    if [[ $file == - ]]; then continue; fi
    if [[ $file == */* ]]; then printf '%s' "${file%/*}/"; else printf '%s' "$PWD"; fi
    return
  done
  printf '%s' "$PWD"
}

# list_env_files DIRECTORY sets env_paths.
list_env_files() {
  env_paths=("${env_files[@]}")
  if ((${#env_paths[@]} == 0)) && [[ -n ${COMPOSE_ENV_FILES-} ]]; then
    IFS=, read -r -a env_paths <<<"$COMPOSE_ENV_FILES"
  fi
  if ((${#env_paths[@]} == 0)); then env_paths=("$1/.env"); fi
}
