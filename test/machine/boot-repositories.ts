// Repositories whose end can be told afterwards, and how long a boot takes until they answer.
import type { Desk } from './desk.ts';
import type { TestVm } from './vm.ts';

export interface BootRepository {
  name: string;
  guid: string;
  mountPoint: string;
  networkId: number;
  /** Where its only service answers. */
  address: string;
}

/** Of `rdc repo autostart list --json`. */
export interface AutostartList {
  repositories: { name: string; enabled: boolean; lastBoot?: { result: string; reason?: string } }[];
}

/** Answers on 8080. Needs five seconds to end when it is asked to, and notes in data/ended when it has. */
export const SLOW_END = `services:
  web:
    image: busybox
    network_mode: host
    restart: unless-stopped
    stop_grace_period: 15s
    volumes: ["./data:/data"]
    environment: {WEB_IP: "\${WEB_IP}"}
    command: ["sh", "-c", "trap 'sleep 5; echo ended >> /data/ended; exit 0' TERM; httpd -f -p $$WEB_IP:8080 -h /bin & wait $$!"]
`;

/** Its prep() fails where the registry of the machine does not answer, as a pull does where the network comes late. */
export const NEEDS_REGISTRY =
  'prep() { curl -sSf -m 5 http://10.0.2.15:5000/v2/; }\nup() { renet compose -- up -d; }\n';

/** Notes in data/downs that it was called. */
export const NOTED_DOWN = 'down() { renet compose -- down; echo down >> data/downs; }\n';

/** Creates and opens them, and puts a Rediaccfile and a compose file into each. */
export async function makeRepositories(
  { vm, desk }: { vm: TestVm; desk: Desk },
  files: Record<string, { rediaccfile: string; compose: string }>,
): Promise<BootRepository[]> {
  await Promise.all(Object.keys(files).map((name) => desk.done(`repo create ${name} --size 512M`)));
  await desk.done('repo up-all --mount-only');
  const { repositories } = await desk.json<{ repositories: BootRepository[] }>('repo list');
  const made = repositories.map(({ name, guid, networkId }) => {
    const address = `127.0.${networkId >> 8}.${(networkId & 255) + 2}`;
    return { name, guid, networkId, mountPoint: `/mnt/rediacc/repos/${guid}`, address };
  });
  const scripts = made.map(({ name, mountPoint }) => {
    const { rediaccfile = '', compose = '' } = files[name] ?? {};
    const heredoc = (file: string, text: string) => `cat > ${file} <<'EOF'\n${text}EOF\n`;
    return `cd ${mountPoint}; mkdir data; ${heredoc('compose.yml', compose)}${heredoc('Rediaccfile', rediaccfile)}`;
  });
  await vm.root('bash -s', { input: scripts.join('') });
  return made;
}

/** Shell: waits until the service takes a connection. */
export function untilAnswers({ address }: BootRepository, port = 8080): string {
  return `until nc -z -w 5 ${address} ${port}; do sleep 0.5; done`;
}

/** Waits until all of them answer; seconds since the start of the kernel (proc_uptime(5)). */
export async function answeredAfter(vm: TestVm, waits: readonly string[]): Promise<number> {
  const seconds = await vm.root(`${waits.join('; ')}; cut -d' ' -f1 /proc/uptime`, { timeoutMs: 580_000 });
  return Number(seconds);
}

/** What the kernel says of filesystems that were not closed in order; nothing is printed where there is no such line. */
export const RECOVERIES =
  "journalctl -k -b --no-pager -o cat | { grep -iE 'EXT4-fs.*(recover|orphan|error)' || true; }";
