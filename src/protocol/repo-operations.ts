// Operations on repositories, one or all of them.
import * as z from 'zod';
import {
  allOutputSchema,
  allRowSchema,
  findingSchema,
  limitsSchema,
  repoStatusSchema,
  repoSummarySchema,
  serviceSchema,
} from './answers.ts';
import { guidSchema, networkIdSchema, repoNameSchema } from './ids.ts';
import { KEY_OPERATIONS } from './key-operations.ts';
import { operation } from './operation.ts';
import { changedRepo, doneRepo, kdf, maybeCredential, oneRepo } from './repo-shapes.ts';
import { secretSchema } from './secret.ts';
import { spaceSchema } from './space.ts';

/** LUKS sectors are 4096 bytes (SPEC section 4): an image that is no multiple of them cannot be formatted. */
const SECTOR_BYTES = 4096;
const imageSize = z
  .number()
  .int()
  .min(64 * 1024 ** 2, 'a repository needs at least 64M')
  .transform((bytes) => Math.ceil(bytes / SECTOR_BYTES) * SECTOR_BYTES);

const upOutput = doneRepo.extend({
  services: z.array(serviceSchema),
  /** Whose functions were called; "." is the root. */
  directories: z.array(z.string()),
  /** Functions that failed without stopping the run, e.g. "backend up": the run is partial. */
  failed: z.array(z.object({ where: z.string(), reason: z.string() })),
});

/** Of up-all and down-all: how many repositories at the same time. */
const concurrency = z.number().int().min(1).max(64).default(1);
/** Milliseconds to wait for each busy repository. */
const waitMs = z.number().int().min(0).default(0);
const timeoutMs = z.number().int().positive().optional();
/** End who holds the volume: somebody has agreed to it. */
const force = z.boolean().default(false);

export const REPO_OPERATIONS = {
  ...KEY_OPERATIONS,
  'repo.list': operation({
    summary: 'repositories of the machine',
    input: z.object({}),
    output: z.object({
      repositories: z.array(repoSummarySchema),
      /** Their records cannot be read. */
      damaged: z.array(z.object({ guid: guidSchema, reason: z.string() })).optional(),
    }),
    changes: false,
  }),
  'repo.status': operation({
    summary: 'one repository in full',
    input: oneRepo,
    output: repoStatusSchema,
    changes: false,
  }),
  'repo.create': operation({
    summary: 'repo create',
    input: z.object({
      name: repoNameSchema,
      /** Chosen by the workstation, which has saved the credential under it before it asks. */
      guid: guidSchema,
      sizeBytes: imageSize,
      credential: secretSchema,
      kdf,
      /** Its whole size is taken on the datastore at once, and kept. */
      preallocate: z.boolean().default(false),
    }),
    output: doneRepo.extend({ networkId: networkIdSchema }),
    changes: true,
  }),
  'repo.fork': operation({
    summary: 'repo fork',
    input: oneRepo.extend({
      /** Of the fork; the workstation has saved the new credential under this GUID before it asks. */
      name: repoNameSchema,
      guid: guidSchema,
      /** Opens the repository that is copied, and will not open the fork. */
      credential: secretSchema,
      newCredential: secretSchema,
      kdf,
    }),
    output: doneRepo.extend({
      networkId: networkIdSchema,
      parent: guidSchema,
      /** "shared": copy on write. Absent where the fork was there already. */
      copy: z.enum(['shared', 'full']).optional(),
      /** Milliseconds for which the writers of an open repository had to wait. */
      frozenMs: z.number().optional(),
    }),
    changes: true,
  }),
  'repo.mount': operation({
    summary: 'repo mount',
    input: oneRepo.extend(maybeCredential),
    output: doneRepo,
    changes: true,
  }),
  'repo.unmount': operation({
    summary: 'repo unmount',
    input: oneRepo.extend({ force }),
    output: doneRepo,
    changes: true,
  }),
  'repo.up': operation({
    summary: 'repo up',
    input: oneRepo.extend({
      ...maybeCredential,
      /** false (--no-mount): refuse a closed repository. */
      mount: z.boolean().default(true),
      prepOnly: z.boolean().default(false),
      /** Only the functions of these directories; "." is the root. */
      only: z.array(z.string().min(1)).min(1).optional(),
      /** Only of directories whose files have changed since their last good up(). */
      changed: z.boolean().default(false),
      /** Per Rediaccfile function, milliseconds; absent: no limit. */
      timeoutMs,
    }),
    output: upOutput,
    changes: true,
  }),
  'repo.down': operation({
    summary: 'repo down',
    input: oneRepo.extend({ unmount: z.boolean().default(false), force, timeoutMs }),
    output: upOutput.omit({ services: true, directories: true }),
    changes: true,
  }),
  'repo.up-all': operation({
    summary: 'repo up-all',
    input: z.object({
      /** By GUID: those that the workstation knows. */
      credentials: z.record(guidSchema, secretSchema).default({}),
      includeForks: z.boolean().default(false),
      /** Open the volumes, start nothing. */
      mountOnly: z.boolean().default(false),
      concurrency,
      waitMs,
      timeoutMs,
    }),
    output: allOutputSchema,
    changes: true,
  }),
  'repo.down-all': operation({
    summary: 'repo down-all',
    input: z.object({ unmount: z.boolean().default(false), concurrency, waitMs, timeoutMs }),
    output: allOutputSchema,
    changes: true,
  }),
  'repo.autostart-list': operation({
    summary: 'which repositories start at boot, and how the last boot went',
    input: z.object({}),
    output: z.object({
      repositories: z.array(
        z.object({
          name: repoNameSchema,
          guid: guidSchema,
          enabled: z.boolean(),
          state: repoSummarySchema.shape.state,
          /** Of the last boot that started it; `at` in milliseconds since the epoch. */
          lastBoot: allRowSchema.omit({ name: true, guid: true }).extend({ at: z.number() }).optional(),
        }),
      ),
    }),
    changes: false,
  }),
  'repo.delete': operation({
    summary: 'repo delete',
    input: oneRepo,
    output: changedRepo,
    changes: true,
  }),
  'repo.resize': operation({
    summary: 'repo resize',
    input: oneRepo.extend({ ...maybeCredential, sizeBytes: imageSize }),
    output: doneRepo.extend({ sizeBytes: z.number(), beforeBytes: z.number() }),
    changes: true,
  }),
  'repo.rescue': operation({
    summary: 'repo rescue',
    input: oneRepo.extend(maybeCredential),
    output: doneRepo.extend({
      freedBytes: z.number(),
      space: spaceSchema,
      /** What is still too little for an `up`. */
      lacking: z.enum(['bytes', 'inodes']).optional(),
      mountPoint: z.string(),
      /** The largest first; in bytes, or in files where inodes are lacking. */
      largest: z.array(z.object({ what: z.string(), path: z.string(), amount: z.number() })),
      /** All was counted. */
      isWhole: z.boolean(),
    }),
    changes: true,
  }),
  'repo.limits': operation({
    summary: 'how much memory and processor time a repository may take',
    input: oneRepo,
    output: z.object({
      name: repoNameSchema,
      guid: guidSchema,
      ...limitsSchema.shape,
      memoryUsedBytes: z.number().nullable(),
    }),
    changes: false,
  }),
  'repo.set-limits': operation({
    summary: 'repo limits',
    /** Absent: stays as it is; null: taken away. */
    input: oneRepo.extend(limitsSchema.partial().shape),
    output: z.object({ name: repoNameSchema, guid: guidSchema, ...limitsSchema.shape, changed: z.boolean() }),
    changes: true,
  }),
  'repo.validate': operation({
    summary: 'what is wrong or strange in the files of a repository',
    input: oneRepo,
    output: z.object({
      name: repoNameSchema,
      guid: guidSchema,
      findings: z.array(findingSchema),
      /** Names of the services that its compose files have. */
      services: z.array(z.string()),
      /** Services that are gone and keep their slot. */
      vanished: z.array(z.string()),
    }),
    changes: false,
  }),
  'repo.prune-slots': operation({
    summary: 'repo prune-slots',
    input: oneRepo,
    output: z.object({
      name: repoNameSchema,
      guid: guidSchema,
      changed: z.boolean(),
      /** Services whose slots are free now. */
      pruned: z.array(z.string()),
    }),
    changes: true,
  }),
} as const;
