// The real systemd of the playground's image in namespaces of this machine: seconds, where a machine takes minutes. It has no
// volumes and no docker: fixtures/systemd/lay-out.sh has what stands for them.
import { spawnSync } from 'node:child_process';
import { copyFile, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { IMAGE_FILES } from '../../src/cli/playground/build-image.ts';
import { ensureImage, playgroundCache } from '../../src/cli/playground/image-cache.ts';
import { REGISTRY } from '../../src/cli/playground/ops.ts';
import { ensureTools } from '../../src/cli/playground/tools.ts';

const FIXTURES = fileURLToPath(new URL('../fixtures/systemd', import.meta.url));
const AGENT = fileURLToPath(new URL('../../dist/renet.mjs', import.meta.url));
const NAMESPACES = ['--mount', '--uts', '--ipc', '--pid', '--net', '--cgroup', '--fork', '--kill-child'];

export async function namespaceImage(): Promise<string> {
  const report = () => undefined;
  await ensureTools(report, undefined);
  const { dir } = await ensureImage({ cacheDir: playgroundCache(process.env), registry: REGISTRY, report });
  return join(dir, IMAGE_FILES.root('playground'));
}

export interface Life {
  /** What the guest has put into /out. The caller removes it. */
  directory: string;
  /** Of the start, for one that came to nothing. */
  said: string;
}

/** Starts, does what the script of the fixtures says, and powers off. `marks`: empty files that it finds in /out. */
export async function liveInNamespaces(image: string, script: string, marks: readonly string[] = []): Promise<Life> {
  const directory = await mkdtemp(join(tmpdir(), 'rdc-systemd-'));
  await copyFile(join(FIXTURES, script), join(directory, 'guest.sh'));
  await copyFile(join(FIXTURES, 'lay-out.sh'), join(directory, 'lay-out.sh'));
  for (const mark of marks) await writeFile(join(directory, mark), '');
  const start = ['bash', join(FIXTURES, 'start.sh'), image, directory, process.execPath, AGENT];
  // unshare(1) ignores SIGTERM while it waits, and ends its child when it is killed.
  const limits = { timeout: 240_000, killSignal: 'SIGKILL' } as const;
  const { stderr, stdout } = spawnSync('unshare', [...NAMESPACES, ...start], { encoding: 'utf8', ...limits });
  return { directory, said: `${stdout}\n${stderr}` };
}
