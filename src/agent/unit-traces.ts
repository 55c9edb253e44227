// What systemd has of ours: units in memory, and drop-ins that were written for one boot.
import { command } from '../lifecycle/command.ts';
import type { DropInTrace, UnitTrace } from '../lifecycle/leftover-facts.ts';
import type { System } from '../lifecycle/system.ts';
import { RUNTIME_UNIT_DIR } from './layout.ts';

export interface UnitWorld {
  units: UnitTrace[];
  dropIns: DropInTrace[];
}

/** Those in memory, also the failed ones; what only something else names is none (LoadState "not-found"). */
export async function listUnits(system: System): Promise<UnitTrace[]> {
  const flags = ['--all', '--full', '--plain', '--no-legend', '--no-pager'];
  const { stdout } = await system.run(command('systemctl', 'list-units', ...flags, 'rediacc-*'));
  return stdout.split('\n').flatMap((line) => {
    const [name = '', load = '', active = ''] = line.trim().split(/\s+/);
    return name === '' || (load === 'not-found' && active === 'inactive') ? [] : [{ name, active }];
  });
}

/** Directories in which a file of ours is, whole or unfinished, or nothing at all. */
export async function findDropIns(system: System): Promise<DropInTrace[]> {
  const names = ((await system.list(RUNTIME_UNIT_DIR)) ?? []).filter((name) =>
    /^rediacc-.*\.(service|slice)\.d$/.test(name),
  );
  const traces = await Promise.all(
    names.map(async (name): Promise<DropInTrace[]> => {
      const path = `${RUNTIME_UNIT_DIR}/${name}`;
      const files = await system.list(path);
      if (files === undefined) return [];
      const ours = files.filter(isOurDropIn);
      const shared = ours.length < files.length;
      return shared && ours.length === 0 ? [] : [{ path, ours, shared }];
    }),
  );
  return traces.flat();
}

/** Whole, or cut off while it was written. */
export function isOurDropIn(file: string): boolean {
  return /^10-rediacc\.conf(\.\d+-\d+\.[0-9a-f]{12}\.tmp)?$/.test(file);
}
