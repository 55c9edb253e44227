// The room inside an open volume.
import { reportSpace, type Space } from '../lifecycle/space.ts';
import { refuseFullVolume } from '../lifecycle/space-floors.ts';
import type { System } from '../lifecycle/system.ts';
import { RdcError } from '../protocol/errors.ts';
import type { RunContext } from './handlers.ts';
import type { Workbench } from './repo-workbench.ts';

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
export async function volumeSpace(system: System, { name, paths }: Workbench['target']): Promise<Space> {
  const space = await system.space(paths.mountPoint);
  if (space === undefined) throw new RdcError('INTERNAL', `the volume of repository "${name}" is not mounted`);
  return space;
}
