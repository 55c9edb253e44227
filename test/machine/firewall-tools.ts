// ufw, firewalld and systemd-resolved for a machine that was built without them: the archive of what their packages put
// there, made once per base image and recipe, and kept beside it.
import { createHash } from 'node:crypto';
import { access, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { IMAGE_FILES } from '../../src/cli/playground/build-image.ts';
import { exec } from '../../src/cli/playground/exec.ts';
import { ensureImage, playgroundCache } from '../../src/cli/playground/image-cache.ts';
import { REGISTRY } from '../../src/cli/playground/ops.ts';
import { sshArgs } from '../../src/cli/playground/ssh.ts';
import type { TestVm } from './vm.ts';

const INSTALL = fileURLToPath(new URL('../fixtures/hosts/firewall-tools.sh', import.meta.url));

/** Nothing of them runs yet. */
export async function installFirewallTools(vm: TestVm): Promise<void> {
  const unpack = ['ssh', ...sshArgs(vm, 'root', []), '--', 'tar -C / -xzf - && systemctl daemon-reload'];
  await exec(['sh', '-c', 'exec "$@" < "$0"', await archive(), ...unpack], { timeoutMs: 300_000 });
}

async function archive(): Promise<string> {
  const report = () => undefined;
  const { dir } = await ensureImage({ cacheDir: playgroundCache(process.env), registry: REGISTRY, report });
  const recipe = createHash('sha256')
    .update(await readFile(INSTALL))
    .digest('hex');
  const file = join(dir, `firewall-tools-${recipe.slice(0, 16)}.tar.gz`);
  const isThere = await access(file).then(
    () => true,
    () => false,
  );
  if (isThere) return file;
  const work = await mkdtemp(join(tmpdir(), 'firewall-tools-'));
  try {
    const made = `${file}.${process.pid}`;
    await exec(['bash', INSTALL, join(dir, IMAGE_FILES.root('server')), work, made], { timeoutMs: 600_000 });
    await rename(made, file);
    return file;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
