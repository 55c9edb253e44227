# shellcheck shell=bash
# Flags that stand before compose's sub command (docker compose --help of 2.26.1 and the hidden ones of cmd/compose/
# compose.go). pflag's spellings: --flag VALUE, --flag=VALUE, -f VALUE, -fVALUE, -f=VALUE.

# parse_flags WORD… sets: globals (all of them, as written), model_flags (those that decide what the model is), files,
# env_files, project_directory, has_project, sub, after (what follows the sub command), strange (a flag nobody knows).
parse_flags() {
  globals=() model_flags=() files=() env_files=() after=()
  project_directory='' has_project='' sub='' strange=''
  while (($# > 0)); do
    split_flag "$1"
    case $flag in
      -f | --file | -p | --project-name | --profile | --env-file | --project-directory | --workdir | \
        --parallel | --progress | --ansi)
        if [[ -z $has_value ]]; then
          # A missing value is compose's to tell.
          if (($# < 2)); then return; fi
          value=$2
          keep_flag "$1" "$2"
          shift 2
        else
          keep_flag "$1"
          shift
        fi
        ;;
      --compatibility)
        model_flags+=("$1")
        globals+=("$1")
        shift
        ;;
      --dry-run | --verbose | --no-ansi | --all-resources)
        globals+=("$1")
        shift
        ;;
      --help | --version | -[hvD]*) return ;;
      -*)
        strange=$1
        return
        ;;
      *)
        sub=$1
        shift
        after=("$@")
        return
        ;;
    esac
  done
}

split_flag() {
  flag=$1 value='' has_value=''
  case $1 in
    --*=*) flag=${1%%=*} value=${1#*=} has_value=yes ;;
    -[fp]?*) flag=${1:0:2} value=${1:2} has_value=yes value=${value#=} ;;
  esac
}

# The words as they were written; flag and value are set.
keep_flag() {
  globals+=("$@")
  case $flag in
    --parallel | --progress | --ansi) return ;;
    -f | --file) files+=("$value") ;;
    -p | --project-name) has_project=yes ;;
    --env-file) env_files+=("$value") ;;
    --project-directory | --workdir) project_directory=$value ;;
  esac
  model_flags+=("$@")
}
