// The room inside an open volume: a reserve that is set aside while there is plenty, and the refusal to start without room.
// A file, and not the blocks that ext4 keeps for root (mke2fs -m): docker daemons, functions and most containers are root, and
// what any container writes in its own layer is written by overlayfs with the rights of the daemon that mounted it, so
// these blocks are used up like all others. They hold back services that are not root and write in a volume, and stay.
import { reportSpace, type Space } from '../lifecycle/space.ts';
import { isAmple, refuseFullVolume, volumeReserve } from '../lifecycle/space-floors.ts';
import type { System } from '../lifecycle/system.ts';
import { messageOf, RdcError } from '../protocol/errors.ts';
import type { RunContext } from './handlers.ts';
import type { Workbench } from './repo-workbench.ts';

type Target = Workbench['target'];

/** On a mounted volume. Without one a full volume needs another way out, but nothing else is wrong: it is told and no more. */
export async function setReserveAside({ target }: Workbench, { system, report }: RunContext): Promise<void> {
  const { name, paths } = target;
  const space = await volumeSpace(system, target);
  const wanted = volumeReserve(space);
  if (!isAmple(space) || (await reserveBytes(system, target)) >= wanted) return;
  try {
    await system.makeDirectory(paths.internal, 0o711);
    await system.reserve(paths.mountPoint, paths.reserve, wanted);
  } catch (error) {
    report({ kind: 'warning', message: `no reserve is set aside in repository "${name}": ${messageOf(error)}` });
  }
}

/** Bytes that the reserve takes; 0: there is none. */
export async function reserveBytes(system: System, { paths }: Target): Promise<number> {
  const found = await system.stat(paths.reserve);
  return found?.kind === 'file' ? found.allocatedBytes : 0;
}

/** Before the daemon and functions start: throws NO_SPACE below the floor, warns where little is left. What runs stays as it is. */
export async function refuseFull({ target }: Workbench, { system, report }: RunContext): Promise<void> {
  const space = await volumeSpace(system, target);
  refuseFullVolume(target, space);
  const { usedPercent, level } = reportSpace(space);
  if (level === 'ok') return;
  report({
    kind: 'warning',
    message: `the volume of repository "${target.name}" is ${usedPercent} % full`,
    hint: `rdc repo status ${target.name}`,
  });
}

/** Throws INTERNAL where nothing is mounted. */
export async function volumeSpace(system: System, { name, paths }: Target): Promise<Space> {
  const space = await system.space(paths.mountPoint);
  if (space === undefined) throw new RdcError('INTERNAL', `the volume of repository "${name}" is not mounted`);
  return space;
}
