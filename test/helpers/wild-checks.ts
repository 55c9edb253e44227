// From what shapes expect to one shell script that asks all of it on the machine, as root: one login for everything.
import type { WildShape } from './wild-shapes.ts';

export interface CheckedRepo {
  guid: string;
  networkId: number;
  dockerSocket: string;
  services: readonly { name: string; ip: string }[];
}

export interface Surroundings {
  repo: CheckedRepo;
  mirror: string;
}

/** Prints a line "bad SHAPE: …" for each answer that does not come in time, and at the end "asked N". */
export function checkScript(shapes: readonly WildShape[], around: Surroundings): string {
  return [prelude(around.repo), ...shapes.flatMap((shape) => checksOf(shape, around)), 'echo "asked $asked"', ''].join(
    '\n',
  );
}

function checksOf(shape: WildShape, { repo, mirror }: Surroundings): string[] {
  const filled = (text: string) => text.replaceAll('{owner}', repo.guid).replaceAll('{mirror}', mirror);
  const check = (label: string, expected: string, words: readonly string[]) =>
    ['check', `${shape.name}: ${label}`, globOf(filled(expected)), ...words.map(filled)].map(quoted).join(' ');
  const lines = Object.entries(shape.host ?? {}).map(([place, text]) => check(place, text, fromHost(place, repo)));
  for (const [address, text] of Object.entries(shape.namespace ?? {}))
    lines.push(check(address, text, ['in_namespace', `http://${address}/`]));
  for (const [service, commands] of Object.entries(shape.inside ?? {})) {
    for (const [command, text] of Object.entries(commands))
      lines.push(check(`${service}: ${command}`, text, ['inside', shape.name, service, command]));
  }
  const present = shape.services.filter((service) => shape.absent?.includes(service) !== true);
  lines.push(check('its containers', present.join(' '), ['services_of', shape.name]));
  return lines;
}

function fromHost(place: string, { services }: CheckedRepo): string[] {
  const [, service, port, path = ''] = /^([^:]+):(\d+)(\/.*)?$/.exec(place) ?? [];
  const ip = services.find(({ name }) => name === service)?.ip;
  if (ip === undefined || port === undefined) throw new Error(`no address for "${place}"`);
  if (path === '/udp') return ['udp', ip, port];
  if (path === '/tcp-open') return ['tcp_open', ip, port];
  return ['http', `http://${ip}:${port}${path || '/'}`];
}

/** A bash pattern that matches the text itself; a line "..." stands for any lines. */
function globOf(text: string): string {
  return text.replace(/[\\*?[\]]/g, '\\$&').replace(/\n\.\.\.(?=\n|$)/g, '\n*');
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

function prelude({ networkId, dockerSocket }: CheckedRepo): string {
  return `
    asked=0 deadline=$((SECONDS + 90))
    declare -A pids=()
    slice=/sys/fs/cgroup/rediacc.slice/rediacc-${networkId}.slice
    containers=$(docker -H unix://${dockerSocket} ps --all --no-trunc --format \\
      '{{.ID}} {{.Label "com.docker.compose.project.working_dir"}} {{.Label "com.docker.compose.service"}}' | sort -k3) || exit
    while read -r id directory service; do
      file=$(echo $slice/*/containers/$id/cgroup.procs)
      pid=$(sort -n "$file" 2>/dev/null | head -1)
      shape=\${directory#*/repos/*/} shape=\${shape%%/*}
      pids[$shape/$service]=\${pid:-ended}
    done <<<"$containers"
    http() { curl -sS --max-time 15 "$1" 2>&1; }
    in_namespace() { ip netns exec rd${networkId} curl -sS --max-time 15 "$1" 2>&1; }
    udp() { timeout 10 bash -c 'exec 3<>"/dev/udp/$0/$1"; printf ping >&3; dd bs=2048 count=1 status=none <&3' "$1" "$2" 2>&1; }
    tcp_open() { timeout 10 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>&1; }
    services_of() {
      local names=() key
      for key in "\${!pids[@]}"; do if [[ $key == "$1"/* ]]; then names+=("\${key#*/}"); fi; done
      echo $(printf '%s\\n' "\${names[@]}" | sort)
    }
    # With the environment that the service has.
    inside() {
      local pid=\${pids[$1/$2]-none} environment
      if [[ ! -r /proc/$pid/environ ]]; then echo "no process of $2"; return; fi
      # Some programs write their title over it.
      mapfile -d '' -t environment < <(grep -z = "/proc/$pid/environ")
      timeout 30 nsenter --target "$pid" --all --root --wd env -i PATH=/usr/local/bin:/usr/bin:/bin "\${environment[@]}" sh -c "$3" 2>&1
    }
    check() {
      local label=$1 pattern=$2 got
      shift 2
      asked=$((asked + 1))
      while :; do
        got=$("$@" </dev/null)
        if [[ $got == $pattern ]]; then return; fi
        if ((SECONDS > deadline)); then break; fi
        sleep 0.5
      done
      printf 'bad %s\\n  answered: %s\\n' "$label" "$got"
    }`;
}
