// A machine that is set up, and a workstation that knows it as "box": what a test of repositories starts from. The setup
// itself is done once per run of the tests, by the product; every machine then starts on the disks that it left.
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { inject } from 'vitest';
import { withFileLock } from '../../src/cli/playground/file-lock.ts';
import { exists } from '../../src/cli/playground/identity.ts';
import { type Desk, openDesk } from './desk.ts';
import { startTestVm, type TestVm, type VmOptions } from './vm.ts';

export interface SetUp {
  vm: TestVm;
  desk: Desk;
}

export interface SetUpOptions extends Omit<VmOptions, 'flavour' | 'origin'> {
  /** Another build of rdc, which brings its own agent with its first command on the machine. */
  program?: string;
}

/** The caller must `destroy()` both. */
export async function startSetUp({ program, ...options }: SetUpOptions = {}): Promise<SetUp> {
  const vm = await startTestVm({ ...options, origin: await setUpOnce() });
  return { vm, desk: await knowing(vm, program) };
}

/** The directory of the machine, which is off. Whoever comes first makes it, the others wait. */
async function setUpOnce(): Promise<string> {
  const runDirectory = inject('runDirectory');
  const directory = join(runDirectory, 'set-up');
  await withFileLock(join(runDirectory, 'set-up.lock'), {}, async () => {
    if (!(await exists(directory))) await setUp(directory);
  });
  return directory;
}

async function setUp(directory: string): Promise<void> {
  const vm = await startTestVm();
  try {
    const desk = await knowing(vm);
    await desk.done(`context setup-machine box --registry-mirror ${vm.registryMirror}`);
    await desk.destroy();
    const { clean } = await vm.stop();
    if (!clean) throw new Error(`the machine did not end by itself\n${await vm.consoleTail()}`);
    await rename(vm.dir, directory);
  } finally {
    await vm.destroy();
  }
}

async function knowing(vm: TestVm, program?: string): Promise<Desk> {
  const desk = await openDesk(vm, program);
  await desk.done('context create-local home --ssh-key ~/.ssh/id_ed25519');
  await desk.done(`context add-machine box --ip ${vm.sshHost} --user deploy --port ${vm.sshPort}`);
  return desk;
}
