#!/usr/bin/env bash
# Starts PostgreSQL as the official image does: the same variables, the same order, the same messages where tools read them.
set -Eeo pipefail

# Reads a setting from VAR, or from the file that VAR_FILE names (docker and compose secrets); otherwise the default.
read_setting() {
  local name=$1 default=${2:-} file_name="${1}_FILE"
  if [ -n "${!name:-}" ] && [ -n "${!file_name:-}" ]; then
    echo >&2 "error: both $name and $file_name are set (but are exclusive)"
    exit 1
  fi
  local value=${!name:-$default}
  if [ -n "${!file_name:-}" ]; then
    value=$(<"${!file_name}")
  fi
  export "$name"="$value"
  unset "$file_name"
}

make_directories() {
  local user
  user=$(id -u)
  mkdir -p "$PGDATA" /run/postgresql ${POSTGRES_INITDB_WALDIR:+"$POSTGRES_INITDB_WALDIR"}
  chmod 0700 "$PGDATA" || :
  chmod 3777 /run/postgresql || :
  if [ "$user" = 0 ]; then
    find "$PGDATA" /run/postgresql ${POSTGRES_INITDB_WALDIR:+"$POSTGRES_INITDB_WALDIR"} \
      \! -user postgres -exec chown postgres '{}' +
  fi
}

read_settings() {
  read_setting POSTGRES_PASSWORD
  read_setting POSTGRES_USER postgres
  read_setting POSTGRES_DB "$POSTGRES_USER"
  read_setting POSTGRES_INITDB_ARGS
  read_setting POSTGRES_HOST_AUTH_METHOD
}

require_password() {
  if [ -n "$POSTGRES_PASSWORD" ] || [ "$POSTGRES_HOST_AUTH_METHOD" = trust ]; then
    return
  fi
  cat >&2 <<'EOF'
Error: Database is uninitialized and superuser password is not specified.
       You must specify POSTGRES_PASSWORD to a non-empty value for the
       superuser. For example, "-e POSTGRES_PASSWORD=password" on "docker run".

       You may also use "POSTGRES_HOST_AUTH_METHOD=trust" to allow all
       connections without a password. This is *not* recommended.
EOF
  exit 1
}

create_cluster() {
  local arguments=(--username="$POSTGRES_USER")
  if [ -n "${POSTGRES_INITDB_WALDIR:-}" ]; then
    arguments+=(--waldir "$POSTGRES_INITDB_WALDIR")
  fi
  # POSTGRES_INITDB_ARGS is one string of several words, quoted as for a shell: the official image's contract.
  eval 'initdb "${arguments[@]}" --pwfile=<(printf "%s\n" "$POSTGRES_PASSWORD") '"$POSTGRES_INITDB_ARGS"
}

allow_clients() {
  local method=$POSTGRES_HOST_AUTH_METHOD
  if [ -z "$method" ]; then
    method=$(postgres -C password_encryption "$@")
  fi
  printf '\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"
}

# The server that runs the first scripts listens on its socket only: no client must meet a half-made database.
start_temporary_server() {
  set -- "$@" -c listen_addresses='' -p "${PGPORT:-5432}"
  NOTIFY_SOCKET= PGUSER="${PGUSER:-$POSTGRES_USER}" pg_ctl -D "$PGDATA" -o "$(printf '%q ' "$@")" -w start
}

run_sql() {
  local target=(--username "$POSTGRES_USER" --no-password --no-psqlrc -v ON_ERROR_STOP=1)
  if [ -n "$POSTGRES_DB" ]; then
    target+=(--dbname "$POSTGRES_DB")
  fi
  PGHOST= PGHOSTADDR= psql "${target[@]}" "$@"
}

create_database() {
  local exists
  exists=$(POSTGRES_DB=postgres run_sql --set db="$POSTGRES_DB" --tuples-only --no-align \
    <<<"SELECT 1 FROM pg_database WHERE datname = :'db';")
  if [ -z "$exists" ]; then
    POSTGRES_DB=postgres run_sql --set db="$POSTGRES_DB" <<<'CREATE DATABASE :"db";'
    printf '\n'
  fi
}

run_first_scripts() {
  local file
  for file in /docker-entrypoint-initdb.d/*; do
    case "$file" in
      *.sh)
        if [ -x "$file" ]; then
          echo "$0: running $file"
          "$file"
        else
          echo "$0: sourcing $file"
          . "$file"
        fi
        ;;
      *.sql) echo "$0: running $file"; run_sql -f "$file" ;;
      *.sql.gz) echo "$0: running $file"; gunzip -c "$file" | run_sql ;;
      *.sql.xz) echo "$0: running $file"; xzcat "$file" | run_sql ;;
      *) [ ! -e "$file" ] || echo "$0: ignoring $file" ;;
    esac
    printf '\n'
  done
}

# The arguments are those of the server that will follow.
initialise() {
  require_password
  # A directory that cannot be listed must not look like an empty one.
  ls /docker-entrypoint-initdb.d/ >/dev/null
  create_cluster
  allow_clients "$@"
  export PGPASSWORD="${PGPASSWORD:-$POSTGRES_PASSWORD}"
  start_temporary_server "$@"
  create_database
  run_first_scripts
  PGUSER="${PGUSER:-postgres}" pg_ctl -D "$PGDATA" -m fast -w stop
  unset PGPASSWORD
  printf '\nPostgreSQL init process complete; ready for start up.\n\n'
}

asks_for_help() {
  local word
  for word in "$@"; do
    case "$word" in -'?' | --help | --describe-config | -V | --version) return 0 ;; esac
  done
  return 1
}

if [ "${1:0:1}" = '-' ]; then
  set -- postgres "$@"
fi

if [ "$1" = postgres ] && ! asks_for_help "$@"; then
  read_settings
  make_directories
  if [ "$(id -u)" = 0 ]; then
    exec gosu postgres "${BASH_SOURCE[0]}" "$@"
  fi
  if [ -s "$PGDATA/PG_VERSION" ]; then
    printf '\nPostgreSQL Database directory appears to contain a database; Skipping initialization\n\n'
  else
    initialise "${@:2}"
  fi
fi

exec "$@"
