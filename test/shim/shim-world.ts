// A mounted repository in a temporary directory, and a `docker` first in PATH that records how it is called.
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';

export interface DockerCall {
  args: string[];
  cwd: string;
  env: Record<string, string>;
  stdin: string;
  tty: boolean;
}

export interface ShimEnd {
  exitCode: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
  /** Those of this run. */
  calls: DockerCall[];
}

export interface ShimRun {
  /** Relative to the mount. */
  cwd?: string;
  stdin?: string;
  env?: Record<string, string | undefined>;
  /** The shim's words in a terminal of its own (script(1)). */
  terminal?: boolean;
  /** Called once docker's last call has begun. */
  onRunning?: (pid: number) => void;
}

const SHIM = resolve('systemd/renet-shim.sh');

export class ShimWorld {
  readonly mount: string;
  readonly fake: string;
  readonly #root: string;

  private constructor(root: string) {
    this.#root = root;
    this.mount = join(root, 'mount of a repository');
    this.fake = join(root, 'fake');
  }

  static async create(): Promise<ShimWorld> {
    const world = new ShimWorld(await mkdtemp(join(tmpdir(), 'rdc-shim-')));
    await mkdir(join(world.fake, 'bin'), { recursive: true });
    await mkdir(world.mount);
    await symlink(resolve('test/fixtures/shim/docker'), join(world.fake, 'bin/docker'));
    return world;
  }

  async remove(): Promise<void> {
    await rm(this.#root, { recursive: true, force: true });
  }

  /** A file of the repository. */
  async file(path: string, text: string): Promise<string> {
    const absolute = join(this.mount, path);
    await mkdir(dirname(absolute), { recursive: true });
    await writeFile(absolute, text);
    return absolute;
  }

  /** What docker answers: "config", "probe", "ps", "inspect", "logs", "then". */
  async answer(name: string, text: string): Promise<void> {
    await writeFile(join(this.fake, name), text);
  }

  async run(words: readonly string[], options: ShimRun = {}): Promise<ShimEnd> {
    const { cwd = '', stdin = '', terminal = false, onRunning } = options;
    const calls = await mkdtemp(join(this.fake, 'calls-'));
    const argv = terminal
      ? ['script', '--quiet', '--return', '--command', ['bash', SHIM, ...words].map(quote).join(' '), '/dev/null']
      : ['bash', SHIM, ...words];
    const child = spawn(argv[0] ?? '', argv.slice(1), {
      cwd: join(this.mount, cwd),
      env: { ...this.#environment(options), FAKE_CALLS: calls },
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk.toString();
      if (chunk.includes('RUNNING')) onRunning?.(child.pid ?? 0);
    });
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    child.stdin.on('error', () => undefined);
    child.stdin.end(stdin);
    const [exitCode, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((settle, reject) => {
      child.once('error', reject);
      child.once('close', (code, name) => settle([code, name]));
    });
    return { exitCode, signal, stdout, stderr, calls: await readCalls(calls) };
  }

  /** The text of the file that was added to the author's, by the last call. */
  async addedText({ calls }: ShimEnd): Promise<string> {
    const path = addedFile(calls.at(-1));
    return path === undefined ? '' : await readFile(path, 'utf8');
  }

  #environment({ cwd = '', env = {} }: ShimRun): Record<string, string> {
    const all = {
      PATH: `${join(this.fake, 'bin')}:/usr/bin:/bin`,
      PWD: join(this.mount, cwd).replace(/\/$/, ''),
      FAKE_DIR: this.fake,
      REPOSITORY_PATH: this.mount,
      REPOSITORY_NETWORK_ID: '2816',
      DOCKER_HOST: 'unix:///var/run/rediacc/docker-2816.sock',
      REDIACC_SERVICES: 'api=127.0.11.2 postgres=127.0.11.3 web=127.0.11.4',
      REDIACC_PROJECTS: 'shop=/backend=backend/my-app=My App',
      REDIACC_PROJECT: 'shop',
      COMPOSE_PROJECT_NAME: 'shop',
      ...env,
    };
    return Object.fromEntries(Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined));
  }
}

async function readCalls(directory: string): Promise<DockerCall[]> {
  const ordered = (await readdir(directory)).map(Number).sort((a, b) => a - b);
  return Promise.all(ordered.map((name) => readCall(join(directory, String(name)))));
}

async function readCall(directory: string): Promise<DockerCall> {
  const text = (name: string) => readFile(join(directory, name), 'utf8');
  const args = (await text('args')).split('\0').slice(0, -1);
  const env = (await text('env')).split('\0').filter((line) => line.includes('='));
  const tty = (await readdir(directory)).includes('tty');
  return {
    args,
    cwd: await text('cwd'),
    env: Object.fromEntries(env.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)])),
    stdin: tty ? '' : await text('stdin'),
    tty,
  };
}

/** By -f or by COMPOSE_FILE. */
export function addedFile(call: DockerCall | undefined): string | undefined {
  const candidates = [...(call?.args ?? []), ...(call?.env.COMPOSE_FILE?.split('\n') ?? [])];
  return candidates.find((word) => word.includes('/.rediacc/compose/'));
}

function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
