// A workstation of a test's own: a home directory, a key, and the built rdc, started as a person starts it.
import { type ChildProcess, spawn } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ExecResult, exec } from '../../src/cli/playground/exec.ts';
import type { VmInstance } from '../../src/cli/playground/instance.ts';

export const RDC = fileURLToPath(new URL('../../dist/rdc/main.js', import.meta.url));
export const EXAMPLES = fileURLToPath(new URL('../../examples', import.meta.url));

export interface DeskOptions {
  input?: string;
  env?: Record<string, string>;
  timeoutMs?: number;
  /** Another build of rdc. */
  program?: string;
}

export interface Desk {
  home: string;
  /** `line` is split at blanks. Any exit code is an answer; nothing is on a terminal. */
  rdc(line: string, options?: DeskOptions): Promise<ExecResult>;
  /** Throws what the command said unless it exits with 0. */
  done(line: string, options?: DeskOptions): Promise<string>;
  /** The document of --json. */
  json<T = Record<string, unknown>>(line: string, options?: DeskOptions): Promise<T>;
  /** Left running; `said` gives its stdout and stderr so far. */
  start(line: string): { child: ChildProcess; said(): string; ended: Promise<number | null> };
  destroy(): Promise<void>;
}

const ANY_EXIT_CODE = Array.from({ length: 256 }, (_, code) => code);

/** With ~/.ssh/id_ed25519 that the machine's accounts accept. `program`: another build of rdc. */
export async function openDesk(vm: Pick<VmInstance, 'identityFile'>, program = RDC): Promise<Desk> {
  const home = await mkdtemp(join(tmpdir(), 'rdc-desk-'));
  await mkdir(join(home, '.ssh'), { mode: 0o700 });
  await copyFile(vm.identityFile, join(home, '.ssh/id_ed25519'));
  const cacheHome = process.env.XDG_CACHE_HOME ?? join(process.env.HOME ?? '/root', '.cache');
  const env = { HOME: home, XDG_CONFIG_HOME: join(home, '.config'), XDG_CACHE_HOME: cacheHome, NO_COLOR: '1' };
  const words = (line: string, build = program) => [build, ...line.split(' ').map((word) => word.replace(/^~/, home))];
  const rdc: Desk['rdc'] = (line, { program: build, ...options } = {}) =>
    exec([process.execPath, ...words(line, build)], {
      timeoutMs: 600_000,
      cwd: home,
      ...options,
      env: { ...env, ...options.env },
      allow: ANY_EXIT_CODE,
    });
  const done: Desk['done'] = async (line, options) => {
    const { exitCode, stdout, stderr } = await rdc(line, options);
    if (exitCode === 0) return stdout;
    throw new Error(`rdc ${line}: exit code ${exitCode}\n${stdout}\n${stderr}`);
  };
  return {
    home,
    rdc,
    done,
    json: async <T>(line: string, options?: DeskOptions) => JSON.parse(await done(`${line} --json`, options)) as T,
    start(line) {
      const child = spawn(process.execPath, words(line), { cwd: home, env: { PATH: process.env.PATH, ...env } });
      let text = '';
      for (const stream of [child.stdout, child.stderr]) {
        stream.on('data', (chunk: Buffer) => {
          text += chunk.toString();
        });
      }
      return { child, said: () => text, ended: new Promise((resolve) => child.once('close', resolve)) };
    },
    destroy: () => rm(home, { recursive: true, force: true }),
  };
}
