// The two bash programs around a Rediaccfile function. The outer one is the unit's main process: it takes the settings
// of a .env from stdin, keeps the function's output in pipes, outlives what the function does to its own shell, and
// tells what is still running. The inner one is the fresh bash that sources the file and calls the function plainly.
// Both talk to the agent in lines on stderr that begin with a random mark (function-report.ts).

/**
 * $1 file, $2 function, $3 mark, $4 directory. The shell changes directory and not the unit: WorkingDirectory= orders
 * the unit after the mount (systemd.exec(5)), whose own stop is due at shutdown, and down() would never be started.
 * A missing file is asked for because `source` would only say so and go on. What is ours between file and function is
 * kept out of `set -x`, and nothing of it is left when the function is called: its exit code is the shell's.
 */
const INNER = `cd -- "$4" || exit
unset -v OLDPWD
unset -f prep up down
exec {__rediacc_talk}>&2
__rediacc_file=./$1 __rediacc_function=$2 __rediacc_mark=$3
set --
[[ -f $__rediacc_file ]] || { printf '%s: it is not there any more\\n' "$__rediacc_file" >&2; exit 1; }
source "$__rediacc_file"
{
  if builtin declare -F "$__rediacc_function" >/dev/null; then
    builtin printf '%s called\\n' "$__rediacc_mark" >&"$__rediacc_talk"
  else
    builtin printf '%s undefined\\n' "$__rediacc_mark" >&"$__rediacc_talk"
    exit 0
  fi
  set -- "$__rediacc_function"
  exec {__rediacc_talk}>&-
  unset -v __rediacc_talk __rediacc_file __rediacc_function __rediacc_mark
} 2>/dev/null
"$1"`;

/**
 * $1 the inner program, then its arguments. Notes on what is easy to break:
 * - The agent's ends of stdout and stderr are sockets, and /dev/stderr of a socket cannot be opened (ENXIO, unix(7)):
 *   so the function writes into pipes. What passes them on ignores SIGTERM, so that no last words are lost when
 *   systemd ends the unit. <(:) is bash's only way to a pipe of its own.
 * - bash lets an asynchronous command ignore SIGINT and SIGQUIT (bash(1), SIGNALS) unless it resets them. Job control
 *   would do so, too, but with it a wait of bash 5.2 now and then loses a child and never returns.
 * - The function has a process group of its own (setsid(1), which does not fork here), so that its `kill 0` is its own
 *   affair: a signal that comes in the same moment as the end of its child can leave bash waiting for ever.
 * - It is the first process of its PID namespace (sandbox.ts), so without a trap no signal from inside does anything to it, and
 *   from outside only SIGKILL does (pid_namespaces(7)). A trap would let bash 5.2, now and then, wait for ever.
 * - wait(1p) is asked again as long as there is a process: a signal that is handled ends it early.
 * - With it everything in the namespace is killed at once, also what passes the output on: so it ends what is left itself, as
 *   systemd would (SIGTERM, ten seconds, SIGKILL), and goes last.
 * - cgroup.procs names no zombies; what is just ending gets half a second, asked 25 times.
 */
const OUTER = `mark=$4 settings=()
while IFS= read -r -d '' setting; do settings+=("$setting"); done
exec {talk}>&2 </dev/null 2>/dev/null
exec {both}<> <(:)
exec {out_from}<"/dev/fd/$both" {out}>"/dev/fd/$both" {both}>&-
exec {both}<> <(:)
exec {err_from}<"/dev/fd/$both" {err}>"/dev/fd/$both" {both}>&-
( trap '' TERM INT HUP; exec cat <&"$out_from" {out}>&- {err}>&- {err_from}<&- {talk}>&- ) &
cat_out=$!
( trap '' TERM INT HUP; exec cat <&"$err_from" >&"$talk" {out}>&- {err}>&- {out_from}<&- {talk}>&- ) &
cat_err=$!
exec {out_from}<&- {err_from}<&- {talk}>&- >/dev/null
( trap - INT QUIT
  ((\${#settings[@]} == 0)) || export -- "\${settings[@]}"
  exec setsid /bin/bash --noprofile --norc -c "$1" rediacc "\${@:2}" >&"$out" 2>&"$err" {out}>&- {err}>&- ) &
pid=$!
wait "$pid"
while [[ -e /proc/$pid ]]; do wait "$pid"; done
wait "$pid"
code=$?
members=
while IFS=: read -r id controllers path; do
  [[ $path == / ]] && continue
  case $id:$controllers in
    0:) for members in "/sys/fs/cgroup$path/cgroup.procs" "/sys/fs/cgroup/unified$path/cgroup.procs"; do [[ -r $members ]] && break 2; done ;;
    *:name=systemd) members=/sys/fs/cgroup/systemd$path/cgroup.procs; [[ -r $members ]] && break ;;
  esac
done </proc/self/cgroup
look() {
  left=()
  local id name
  while read -r id; do
    [[ $id == "$$" || $id == "$cat_out" || $id == "$cat_err" ]] && continue
    IFS= read -r name <"/proc/$id/comm" && left+=("$id $name")
  done <"$members"
}
look
if ((\${#left[@]} > 0)); then
  exec {own}<> <(:)
  for ((turn = 0; turn < 25; turn++)); do
    read -r -t 0.02 -u "$own"
    look
    ((\${#left[@]} == 0)) && break
  done
fi
for one in "\${left[@]}"; do printf '%s left %s\\n' "$mark" "$one" >&"$err"; done
printf '%s ended\\n' "$mark" >&"$err"
for one in "\${left[@]}"; do kill -TERM "\${one%% *}"; done
for ((turn = 0; turn < 100 && \${#left[@]} > 0; turn++)); do
  read -r -t 0.1 -u "$own"
  look
done
for ((turn = 0; turn < 100 && \${#left[@]} > 0; turn++)); do
  for one in "\${left[@]}"; do kill -KILL "\${one%% *}"; done
  read -r -t 0.02 -u "$own"
  look
done
exec {out}>&- {err}>&-
wait "$cat_out" "$cat_err"
exit "$code"`;

export interface WrappedCall {
  file: string;
  name: string;
  mark: string;
  directory: string;
}

/** The command line of a unit's main process. */
export function wrapperCommand({ file, name, mark, directory }: WrappedCall): string[] {
  return ['/bin/bash', '--noprofile', '--norc', '-c', OUTER, 'rediacc', INNER, file, name, mark, directory];
}

/** What the wrapper reads from stdin: "NAME=value" with a NUL behind each. No value may hold a NUL. */
export function encodeSettings(settings: ReadonlyMap<string, string>): string {
  return [...settings].map(([name, value]) => `${name}=${value}\0`).join('');
}
