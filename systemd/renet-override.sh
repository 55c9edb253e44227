# shellcheck shell=bash
# From compose's canonical model (model) to a small file with what renet adds (override). Compose writes the keys of
# services with two spaces of indent, their own with four, labels and extra_hosts with six, and every text block deeper
# than its key, so lines can be told by their indent. Nothing is added that the author has written.

# Sets override to the path of the file, or to nothing where the model has no service.
make_override() {
  override=''
  local -A address=()
  local pair
  for pair in ${REDIACC_SERVICES-}; do address[${pair%%=*}]=${pair#*=}; done
  local additions='' homeless=()
  collect_additions
  if ((${#homeless[@]} > 0)); then
    warn "no address yet for ${homeless[*]}: .rediacc.json does not know it, \"rdc repo up\" gives it one"
  fi
  if [[ -n $additions ]]; then keep_override $'services:\n'"$additions"; fi
}

# Sets additions and homeless.
collect_additions() {
  local line inside='' section='' key name='' is_host='' text
  local -A written=()
  while IFS= read -r line; do
    if [[ -z $inside ]]; then
      if [[ $line == services: ]]; then inside=yes; fi
      continue
    fi
    case $line in
      '      '[!\ ]*)
        key=${line:6}
        key=${key#- }
        key=${key#[\"\']}
        written[$section/${key%%[:=\"\']*}]=yes
        ;;
      '    network_mode: host') is_host=yes ;;
      '    '[!\ ]*) section=${line:4} section=${section%%:*} ;;
      '  '[!\ ]*:)
        add_service
        unquote "${line:2:-1}"
        name=$text section='' is_host='' written=()
        ;;
      [!\ ]*) break ;;
    esac
  done <<<"$model"
  add_service
}

# The service that ends here: name, is_host and what the author has written for it.
add_service() {
  if [[ -z $name ]]; then return; fi
  # compose's own rule; it makes any quoting below safe.
  if [[ ! $name =~ ^[A-Za-z0-9._-]+$ ]]; then refuse "compose has a service with the name \"$name\", which is not understood here"; fi
  local labels='' hosts='' other
  add_label service_name "$name"
  if [[ -n ${address[$name]-} ]]; then add_label service_ip "${address[$name]}"; else homeless+=("\"$name\""); fi
  add_label network_id "$REPOSITORY_NETWORK_ID"
  if [[ -n $is_host ]]; then
    for other in "${!address[@]}"; do
      if [[ -z ${written[extra_hosts/$other]-} ]]; then hosts+="      - \"$other:${address[$other]}\""$'\n'; fi
    done
  fi
  if [[ -n $labels ]]; then labels="    labels:"$'\n'$labels; fi
  if [[ -n $hosts ]]; then hosts="    extra_hosts:"$'\n'$(LC_ALL=C sort <<<"${hosts%$'\n'}")$'\n'; fi
  if [[ -n $labels$hosts ]]; then additions+="  \"$name\":"$'\n'$labels$hosts; fi
}

add_label() {
  if [[ -z ${written[labels/rediacc.$1]-} ]]; then labels+="      \"rediacc.$1\": \"$2\""$'\n'; fi
}

# Named by its content and never changed, so that two calls at the same time, or containers that remember the path, always
# mean the same text.
keep_override() {
  local directory=$REPOSITORY_PATH/.rediacc/compose hash temporary
  if [[ -L $REPOSITORY_PATH/.rediacc || -L $directory ]]; then refuse "$directory is reached by a link; it must be a directory"; fi
  hash=$(sha256sum <<<"$1") || refuse "sha256sum does not work here"
  override=$directory/${hash:0:16}.yaml
  if [[ -f $override && ! -L $override && $(<"$override") == "${1%$'\n'}" ]]; then return; fi
  mkdir -p -- "$directory" && temporary=$(mktemp -- "$directory/.new.XXXXXXXX") || refuse "cannot write to $directory"
  if ! printf '%s' "$1" >"$temporary" || ! mv -fT -- "$temporary" "$override"; then
    rm -f -- "$temporary"
    refuse "cannot write $override"
  fi
}
