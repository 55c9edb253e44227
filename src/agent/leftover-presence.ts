// Whether one thing is there, whatever is to be thought of it: what "removed" means after a removal.
import { observeAllDevices, observeBlockDevices } from '../lifecycle/block-devices.ts';
import type { Leftover } from '../lifecycle/leftover.ts';
import { isRunning } from '../lifecycle/leftover-facts.ts';
import { parseMountinfo } from '../lifecycle/mountinfo.ts';
import type { System } from '../lifecycle/system.ts';
import { isOurDropIn, listUnits } from './unit-traces.ts';

export async function isPresent(system: System, { kind, what, subject }: Leftover): Promise<boolean> {
  switch (kind) {
    case 'unit':
      return (await listUnits(system)).some(
        (unit) => unit.name === what && (isRunning(unit) || unit.active === 'failed'),
      );
    case 'mount':
      return parseMountinfo((await system.readFile('/proc/self/mountinfo')) ?? '').some(
        ({ mountPoint }) => mountPoint === what,
      );
    case 'mapping':
      return (await observeAllDevices(system)).mappings.some(({ name }) => name === what);
    case 'loop device':
      // The number may be somebody else's by now.
      return (await observeBlockDevices(system)).loops.some(
        ({ device, backingFile }) => device === what && backingFile.endsWith(`/${subject}`),
      );
    case 'namespace':
      return (await system.stat(`/run/netns/${what}`)) !== undefined;
    case 'link':
      return (await system.stat(`/sys/class/net/${what}`)) !== undefined;
    case 'drop-in': {
      const names = await system.list(what);
      return names !== undefined && (names.length === 0 || names.some(isOurDropIn));
    }
    default:
      return (await system.stat(what)) !== undefined;
  }
}
