// The one contract of both programs. The CLI parses its arguments into `input` before any SSH; the agent parses
// the request with `input`; the reply is parsed with `output`. Handlers in the agent are a mapped type over this
// registry, so a missing handler does not compile.
import * as z from 'zod';
import {
  checkSchema,
  findingSchema,
  limitsSchema,
  outcomeSchema,
  repoStatusSchema,
  repoSummarySchema,
  runSummarySchema,
  serviceSchema,
} from './answers.ts';
import { planStepSchema } from './events.ts';
import { absolutePathSchema, guidSchema, networkIdSchema, repoNameSchema, repoRefSchema, runIdSchema } from './ids.ts';
import { secretSchema } from './secret.ts';
import { wireErrorSchema } from './wire-error.ts';

export interface Operation<
  I extends z.ZodType = z.ZodType,
  O extends z.ZodType = z.ZodType,
  C extends boolean = boolean,
> {
  /** One line for the reference and for "is being changed by": "repo up". */
  summary: string;
  input: I;
  output: O;
  /** true: a run with an id, a journal and, where `input.repo` is given, the repository's lock. false: a plain question. */
  changes: C;
}

function operation<I extends z.ZodType, O extends z.ZodType, const C extends boolean>(
  definition: Operation<I, O, C>,
): Operation<I, O, C> {
  return definition;
}

const noInput = z.object({});
const oneRepo = z.object({ repo: repoRefSchema });
/** Absent: the volume must be open already, or the machine must hold a keyfile. */
const maybeCredential = { credential: secretSchema.optional() };
/** How the key is derived: SPEC section 4. "random" means 256 random bits made by us. */
const kdf = z.enum(['random', 'passphrase']);

const doneRepo = z.object({
  name: repoNameSchema,
  guid: guidSchema,
  state: repoSummarySchema.shape.state,
  changed: z.boolean(),
});
const changedRepo = z.object({ name: repoNameSchema, guid: guidSchema, changed: z.boolean() });
const upOutput = doneRepo.extend({
  services: z.array(serviceSchema),
  /** Functions that failed without stopping the run, e.g. "backend up": the run is partial. */
  failed: z.array(z.object({ where: z.string(), reason: z.string() })),
});

/** Of up-all and down-all: how many repositories at the same time. */
const concurrency = z.number().int().min(1).max(64).default(1);
/** Milliseconds to wait for each busy repository. */
const waitMs = z.number().int().min(0).default(0);
const timeoutMs = z.number().int().positive().optional();
const allRow = z.object({
  name: repoNameSchema,
  guid: guidSchema,
  result: z.enum(['done', 'already', 'partial', 'failed', 'skipped']),
  /** Why it is not done. */
  reason: z.string().optional(),
  /** Its own run: `rdc run logs` has the whole story. */
  run: runIdSchema.optional(),
  /** How many services it has; of up-all only. */
  services: z.number().int().optional(),
  ms: z.number(),
});
const allOutput = z.object({ repositories: z.array(allRow) });

/** How the start at boot went; kept on the machine. */
export const allRowSchema = allRow;

export const OPERATIONS = {
  'machine.preflight': operation({
    summary: 'check whether the machine can hold repositories',
    input: z.object({ datastore: absolutePathSchema }),
    output: z.object({ checks: z.array(checkSchema), fit: z.boolean() }),
    changes: false,
  }),
  'machine.setup': operation({
    summary: 'machine setup',
    input: z.object({
      datastore: absolutePathSchema,
      /** Present: the datastore becomes a pool image of this many bytes instead of a plain directory. */
      datastoreSizeBytes: z.number().int().positive().optional(),
      /** e.g. http://10.0.2.15:5000; serves Docker Hub names only. Absent: keep what is recorded. */
      registryMirrors: z.array(z.url({ protocol: /^https?$/ })).optional(),
      /** Login name that may run `sudo -n renet connect`; absent for root. */
      sudoUser: z
        .string()
        .regex(/^[a-z_][a-z0-9_-]{0,31}$/)
        .optional(),
    }),
    output: z.object({ datastore: z.string(), checks: z.array(checkSchema), changed: z.boolean() }),
    changes: true,
  }),
  'machine.status': operation({
    summary: 'what the machine is and what runs on it',
    input: noInput,
    output: z.object({
      hostname: z.string(),
      os: z.string(),
      kernel: z.string(),
      uptimeSeconds: z.number(),
      agent: z.object({ version: z.string(), pid: z.number(), residentBytes: z.number(), node: z.string() }),
      datastore: z
        .object({ path: z.string(), filesystem: z.string(), totalBytes: z.number(), freeBytes: z.number() })
        .optional(),
      registryMirrors: z.array(z.string()),
      repositories: z.array(repoSummarySchema),
    }),
    changes: false,
  }),
  'machine.doctor': operation({
    summary: 'whether everything on the machine is as repositories need it',
    input: noInput,
    output: z.object({ checks: z.array(checkSchema) }),
    changes: false,
  }),
  'repo.list': operation({
    summary: 'repositories of the machine',
    input: noInput,
    output: z.object({ repositories: z.array(repoSummarySchema) }),
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
      sizeBytes: z
        .number()
        .int()
        .min(64 * 1024 ** 2, 'a repository needs at least 64M'),
      credential: secretSchema,
      kdf,
    }),
    output: doneRepo.extend({ networkId: networkIdSchema }),
    changes: true,
  }),
  'repo.mount': operation({
    summary: 'repo mount',
    input: oneRepo.extend(maybeCredential),
    output: doneRepo,
    changes: true,
  }),
  'repo.unmount': operation({ summary: 'repo unmount', input: oneRepo, output: doneRepo, changes: true }),
  'repo.up': operation({
    summary: 'repo up',
    input: oneRepo.extend({
      ...maybeCredential,
      /** false (--no-mount): refuse a closed repository. */
      mount: z.boolean().default(true),
      prepOnly: z.boolean().default(false),
      /** Per Rediaccfile function, milliseconds; absent: no limit. */
      timeoutMs,
    }),
    output: upOutput,
    changes: true,
  }),
  'repo.down': operation({
    summary: 'repo down',
    input: oneRepo.extend({ unmount: z.boolean().default(false), timeoutMs }),
    output: upOutput.omit({ services: true }),
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
    output: allOutput,
    changes: true,
  }),
  'repo.down-all': operation({
    summary: 'repo down-all',
    input: z.object({ unmount: z.boolean().default(false), concurrency, waitMs, timeoutMs }),
    output: allOutput,
    changes: true,
  }),
  'repo.autostart-enable': operation({
    summary: 'repo autostart enable',
    input: oneRepo.extend({ credential: secretSchema }),
    output: changedRepo,
    changes: true,
  }),
  'repo.autostart-disable': operation({
    summary: 'repo autostart disable',
    input: oneRepo.extend({ credential: secretSchema }),
    output: changedRepo,
    changes: true,
  }),
  'repo.autostart-list': operation({
    summary: 'which repositories start at boot, and how the last boot went',
    input: noInput,
    output: z.object({
      repositories: z.array(
        z.object({
          name: repoNameSchema,
          guid: guidSchema,
          enabled: z.boolean(),
          state: repoSummarySchema.shape.state,
          /** Of the last boot that started it; `at` in milliseconds since the epoch. */
          lastBoot: allRow.omit({ name: true, guid: true }).extend({ at: z.number() }).optional(),
        }),
      ),
    }),
    changes: false,
  }),
  'machine.autostart': operation({
    summary: 'start of the repositories that are marked for it',
    input: noInput,
    output: allOutput,
    changes: true,
  }),
  'repo.delete': operation({
    summary: 'repo delete',
    input: oneRepo,
    output: changedRepo,
    changes: true,
  }),
  'repo.verify-credential': operation({
    summary: 'whether a credential opens the repository',
    input: oneRepo.extend({ credential: secretSchema }),
    output: z.object({ name: repoNameSchema, guid: guidSchema, opens: z.boolean() }),
    changes: false,
  }),
  'repo.rotate-credential': operation({
    summary: 'repo credential rotate',
    input: oneRepo.extend({ credential: secretSchema, newCredential: secretSchema, kdf }),
    output: changedRepo,
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
  'run.list': operation({
    summary: 'runs of the machine, newest first',
    input: z.object({ limit: z.number().int().min(1).max(1000).default(20) }),
    output: z.object({ runs: z.array(runSummarySchema) }),
    changes: false,
  }),
} as const;

/** How a run is asked for, beside its input. */
export const runOptionsSchema = z.object({
  dryRun: z.boolean().default(false),
  /** Milliseconds to wait for a busy repository; 0: refuse at once with BUSY. */
  waitMs: z.number().int().min(0).default(0),
});

/** How a run ended. `output` is there when it is done or partial. */
export const runResultSchema = z.object({
  run: runIdSchema,
  outcome: outcomeSchema,
  output: z.unknown().optional(),
  plan: z.array(planStepSchema).optional(),
  warnings: z.array(z.string()),
  error: wireErrorSchema.optional(),
});

export type OperationName = keyof typeof OPERATIONS;
type Named<Changes extends boolean> = {
  [K in OperationName]: (typeof OPERATIONS)[K]['changes'] extends Changes ? K : never;
}[OperationName];
export type InputOf<K extends OperationName> = z.output<(typeof OPERATIONS)[K]['input']>;
/** What the caller writes: defaults may be left out. */
export type RequestOf<K extends OperationName> = z.input<(typeof OPERATIONS)[K]['input']>;
export type OutputOf<K extends OperationName> = z.output<(typeof OPERATIONS)[K]['output']>;
export type RunOperation = Named<true>;
export type QueryOperation = Named<false>;
export type RepoSummary = z.infer<typeof repoSummarySchema>;
export type RepoStatus = z.infer<typeof repoStatusSchema>;
export type Service = z.infer<typeof serviceSchema>;
export type Check = z.infer<typeof checkSchema>;
export type RunSummary = z.infer<typeof runSummarySchema>;
export type RunOptions = z.infer<typeof runOptionsSchema>;
export type RunResult = z.infer<typeof runResultSchema>;
export type Outcome = z.infer<typeof outcomeSchema>;
