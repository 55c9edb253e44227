// The machine's own records of its repositories: {ds}/.state/{guid}.json. The machine is the authority for what
// exists on it and for network ids; whoever changes a record holds that repository's lock.
import pLimit from 'p-limit';
import * as z from 'zod';
import type { System } from '../lifecycle/system.ts';
import { LINK_COUNT } from '../network/address.ts';
import { lastUpSchema } from '../protocol/answers.ts';
import { RdcError } from '../protocol/errors.ts';
import { type Guid, guidSchema, networkIdSchema, type RepoRef, repoNameSchema } from '../protocol/ids.ts';
import { repoPaths } from './layout.ts';

const recordSchema = z.looseObject({
  version: z.literal(1),
  guid: guidSchema,
  name: repoNameSchema,
  networkId: networkIdSchema,
  linkIndex: z
    .number()
    .int()
    .min(0)
    .max(LINK_COUNT - 1),
  filesystem: z.enum(['ext4']),
  /** "creating" until the image is whole: a crash before that leaves nothing worth keeping. */
  state: z.enum(['creating', 'ready']),
  autostart: z.boolean(),
  parent: guidSchema.optional(),
  /** Of a fork: it was encrypted anew, and shares the master key of its parent no longer. */
  masterKey: z.literal('own').optional(),
  /** Encrypting it anew has begun, and its end is not noted yet. */
  reencrypting: z.literal(true).optional(),
  /** Its image takes all of its size on the datastore: it is opened so that freed space does not go back. */
  preallocated: z.literal(true).optional(),
  /** A resize that has begun; `offline`: the filesystem may be half moved, so it is not mounted before it is finished. */
  resize: z.object({ sizeBytes: z.number().int(), offline: z.boolean() }).optional(),
  limits: z.object({ memoryBytes: z.number().int().optional(), cpus: z.number().optional() }).optional(),
  /** Milliseconds since the epoch. */
  createdAt: z.number(),
  lastUp: lastUpSchema.optional(),
});
export type RepoRecord = z.infer<typeof recordSchema>;

const retiredSchema = z.object({
  networkIds: z.array(z.number().int()),
  /** Oldest deletion first, bounded. */
  repositories: z.array(z.object({ guid: guidSchema, name: repoNameSchema })).default([]),
});

/** Enough for whoever repeats a delete of which nobody learned the end. */
const MOST_REMEMBERED = 100;

/** Two deletes at once must not take each other's entry away. */
const retiring = pLimit(1);

export type Deleted = Pick<RepoRecord, 'guid' | 'name'>;

export interface DamagedRecord {
  guid: Guid;
  error: RdcError;
}

export interface RepoStore {
  /** All, half-made ones included, by name in byte order. Throws CONFIG_INVALID where one of them is damaged. */
  list(): Promise<RepoRecord[]>;
  /** The same beside damaged ones: for what concerns single repositories, of which one must not stop the others. */
  readable(): Promise<{ records: RepoRecord[]; damaged: DamagedRecord[] }>;
  /** Finished repositories only. Throws NOT_FOUND naming what there is, CONFIG_INVALID where it may be a damaged one. */
  resolve(ref: RepoRef): Promise<RepoRecord>;
  save(record: RepoRecord): Promise<void>;
  remove(guid: Guid): Promise<void>;
  /** Network ids of deleted repositories, oldest deletion first. */
  retired(): Promise<number[]>;
  /** Notes what is being deleted; before its record goes, so that a delete that is cut off then is known to be done. */
  retire(record: Deleted & Pick<RepoRecord, 'networkId'>): Promise<void>;
  /** What was deleted and had this GUID or, latest first, this name; undefined where a repository has it now. */
  deleted(ref: RepoRef): Promise<Deleted | undefined>;
}

export function createRepoStore(system: System, datastore: string): RepoStore {
  const directory = `${datastore}/.state`;
  const retiredFile = `${directory}/retired-network-ids.json`;

  async function readable() {
    const names = ((await system.list(directory)) ?? []).filter((name) => /^[0-9a-f-]{36}\.json$/.test(name));
    const read = await Promise.all(names.map((name) => readRecord(system, directory, name)));
    const records = read.flatMap(({ record }) => record ?? []).sort((a, b) => (a.name < b.name ? -1 : 1));
    return { records, damaged: read.flatMap(({ damaged }) => damaged ?? []) };
  }

  async function list(): Promise<RepoRecord[]> {
    const { records, damaged } = await readable();
    for (const { error } of damaged) throw error;
    return records;
  }

  async function readRetired(): Promise<z.infer<typeof retiredSchema>> {
    const text = await system.readFile(retiredFile);
    return text === undefined ? { networkIds: [], repositories: [] } : parseOr(retiredFile, text, retiredSchema);
  }

  async function listReady(): Promise<RepoRecord[]> {
    return (await list()).filter((record) => record.state === 'ready');
  }

  return {
    list,
    readable,
    retired: async () => (await readRetired()).networkIds,
    async resolve(ref) {
      const { records, damaged } = await readable();
      const ready = records.filter(({ state }) => state === 'ready');
      const found = findIn(ready, ref);
      if (found !== undefined) return found;
      for (const { error } of damaged) throw error;
      const known = ready.map((record) => record.name).join(', ');
      throw new RdcError('NOT_FOUND', `there is no repository "${ref}" on this machine`, {
        hint: known === '' ? `rdc repo create ${ref} --size 10G` : `repositories here: ${known}`,
      });
    },
    save: (record) =>
      system.writeFile(repoPaths(datastore, record.guid).record, `${JSON.stringify(record, null, 2)}\n`, 0o600),
    remove: (guid) => system.remove(repoPaths(datastore, guid).record),
    retire: ({ guid, name, networkId }) =>
      retiring(async () => {
        const before = await readRetired();
        const networkIds = [...before.networkIds.filter((id) => id !== networkId), networkId];
        const others = before.repositories.filter((one) => one.guid !== guid);
        const repositories = [...others, { guid, name }].slice(-MOST_REMEMBERED);
        await system.writeFile(retiredFile, `${JSON.stringify({ networkIds, repositories })}\n`, 0o600);
      }),
    async deleted(ref) {
      if (findIn(await listReady(), ref) !== undefined) return undefined;
      return findIn((await readRetired()).repositories.toReversed(), ref);
    },
  };
}

/** By GUID before name. */
function findIn<T extends Deleted>(all: readonly T[], ref: RepoRef): T | undefined {
  return all.find(({ guid }) => guid === ref) ?? all.find(({ name }) => name === ref);
}

/** Neither: it is gone meanwhile. */
async function readRecord(
  system: System,
  directory: string,
  name: string,
): Promise<{ record?: RepoRecord; damaged?: DamagedRecord }> {
  const path = `${directory}/${name}`;
  const text = await system.readFile(path);
  try {
    return text === undefined ? {} : { record: parseOr(path, text, recordSchema) };
  } catch (error) {
    if (error instanceof RdcError) return { damaged: { guid: name.slice(0, -'.json'.length) as Guid, error } };
    throw error;
  }
}

function parseOr<T>(path: string, text: string, schema: z.ZodType<T>): T {
  try {
    return schema.parse(JSON.parse(text));
  } catch (error) {
    throw new RdcError('CONFIG_INVALID', `${path} is damaged: mend or restore it before this machine is changed`, {
      cause: error,
    });
  }
}
