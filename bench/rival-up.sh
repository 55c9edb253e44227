#!/bin/bash
# The rival of `rdc repo up`: what a person with a shell script would do for a repository whose volume is mounted and
# whose docker daemon runs. Calls prep of every Rediaccfile, then up of every one, plainly: no unit, no limits, no
# record, nothing checked before or after. bench/up.mjs puts the environment in front of it.
shopt -s nullglob nocaseglob
cd "$REPOSITORY_PATH" || exit
files=([r]ediaccfile */[r]ediaccfile)
for function in prep up; do
  for file in "${files[@]}"; do
    (
      cd "$(dirname "$file")" &&
        bash -c 'source "./$1"; if declare -F "$2" >/dev/null; then "$2"; fi' rival "$(basename "$file")" "$function"
    ) </dev/null || exit
  done
done
