// The machine's own record, /etc/rediacc/machine.json: written last by setup, so that a machine that has one is set up.
import * as z from 'zod';
import { parseMountinfo } from '../lifecycle/mountinfo.ts';
import type { System } from '../lifecycle/system.ts';
import { RdcError } from '../protocol/errors.ts';
import { absolutePathSchema } from '../protocol/ids.ts';
import { supervisionSettingsSchema } from '../protocol/supervision.ts';
import { MACHINE_FILE } from './layout.ts';

export const poolFilesystemSchema = z.enum(['btrfs', 'xfs']);

const machineRecordSchema = z.looseObject({
  version: z.literal(1),
  datastore: absolutePathSchema,
  /** They serve Docker Hub names only. */
  registryMirrors: z.array(z.string()),
  /** The datastore is a filesystem in an image of its own. */
  pool: z
    .object({ image: absolutePathSchema, sizeBytes: z.number().int().positive(), filesystem: poolFilesystemSchema })
    .optional(),
  /** IP forwarding was off before setup: what is not ours is then not forwarded. */
  forwardingWasOff: z.boolean().optional(),
  /** The same of IPv6. */
  forwarding6WasOff: z.boolean().optional(),
  /** Set by an administrator: repositories may reach the cloud's metadata address. */
  metadataAllowed: z.boolean().optional(),
  /** What a person has set with `rdc machine supervision`. */
  supervision: supervisionSettingsSchema.optional(),
  /** ISO 8601. */
  setUpAt: z.string(),
});
export type MachineRecord = z.infer<typeof machineRecordSchema>;
export type Pool = NonNullable<MachineRecord['pool']>;
export type PoolFilesystem = z.infer<typeof poolFilesystemSchema>;

/** undefined: never set up. Throws CONFIG_INVALID for a torn or foreign file, which is never overwritten. */
export async function readMachine(system: System): Promise<MachineRecord | undefined> {
  const text = await system.readFile(MACHINE_FILE);
  return text === undefined ? undefined : parseMachine(text);
}

/** For everything that works on repositories. Throws NOT_SET_UP, or HOST_NOT_SUITABLE when the datastore is not there. */
export async function requireMachine(system: System): Promise<MachineRecord> {
  const record = await readMachine(system);
  if (record === undefined) {
    throw new RdcError('NOT_SET_UP', 'this machine is not set up', { hint: 'rdc context setup-machine MACHINE' });
  }
  await requireDatastore(system, record);
  return record;
}

/** Keys in the order of the schema, so that two texts of the same record are the same. */
export function machineText(record: MachineRecord): string {
  return `${JSON.stringify(machineRecordSchema.parse(record), null, 2)}\n`;
}

function parseMachine(text: string): MachineRecord {
  const hint = `put back a good copy of ${MACHINE_FILE}, or move it away and set the machine up again with the same datastore`;
  try {
    return machineRecordSchema.parse(JSON.parse(text));
  } catch (error) {
    throw new RdcError('CONFIG_INVALID', `${MACHINE_FILE} on the machine cannot be read`, { hint, cause: error });
  }
}

/** A pool or disk that was not mounted at boot would look like a machine without repositories. */
async function requireDatastore(system: System, { datastore, pool }: MachineRecord): Promise<void> {
  const isMounted =
    pool === undefined ||
    parseMountinfo((await system.readFile('/proc/self/mountinfo')) ?? '').some(
      (mount) => mount.mountPoint === datastore,
    );
  if (isMounted && (await system.stat(`${datastore}/.state`)) !== undefined) return;
  throw new RdcError('HOST_NOT_SUITABLE', `the datastore "${datastore}" is not there: its filesystem is not mounted`, {
    hint: `mount ${datastore}`,
  });
}
