// A machine that is set up, on a disk that forgets at a power cut what was not flushed: its only one, with system and datastore.
import { join } from 'node:path';
import { exec } from '../../src/cli/playground/exec.ts';
import { VM_FILES } from '../../src/cli/playground/instance.ts';
import type { Desk } from './desk.ts';
import { type NbdServer, serveNbd } from './nbd-server.ts';
import { type SetUp, startSetUp } from './set-up.ts';
import type { TestVm } from './vm.ts';
import { type PowerCut, VolatileDisk } from './volatile-disk.ts';

export interface VolatileMachine {
  vm: TestVm;
  desk: Desk;
  disk: VolatileDisk;
  /** What the disk is stored in: the filesystem of the system. */
  medium: string;
  /** Ends the machine from one instant to the next. `random`: see VolatileDisk.forget(). It can be started again. */
  powerCut(random?: () => number): Promise<PowerCut>;
  destroy(): Promise<void>;
}

const SOCKET = 'root.nbd';

export async function startOnVolatileDisk(): Promise<VolatileMachine> {
  let served: { disk: VolatileDisk; server: NbdServer; medium: string } | undefined;
  const serveRoot = async (dir: string) => {
    const medium = join(dir, 'root.raw');
    await exec(['qemu-img', 'convert', '-O', 'raw', join(dir, VM_FILES.root), medium]);
    const disk = new VolatileDisk(medium);
    served = { disk, server: await serveNbd(join(dir, SOCKET), disk), medium };
    return `nbd+unix:///?socket=${SOCKET}`;
  };
  const endDisk = async () => {
    await served?.server.close();
    served?.disk.close();
  };
  let setUp: SetUp;
  try {
    setUp = await startSetUp({ diskCache: 'writeback', serveRoot });
  } catch (error) {
    await endDisk();
    throw error;
  }
  const { vm, desk } = setUp;
  if (served === undefined) throw new Error('the machine does not use the disk');
  const { disk, server, medium } = served;
  return {
    ...{ vm, desk, disk, medium },
    async powerCut(random) {
      await vm.powerCut();
      // What it had still sent and nobody answered must not reach the disk of the machine that starts next.
      await server.disconnect();
      return disk.forget(random);
    },
    async destroy() {
      await desk.destroy();
      await vm.destroy();
      await endDisk();
    },
  };
}
