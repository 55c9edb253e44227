// What a command is given: everything from outside it, made when first needed. Tests build their own; nothing is global.
import { randomBytes, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseDuration } from '../protocol/duration.ts';
import { RdcError } from '../protocol/errors.ts';
import { type ContextName, contextNameSchema, type Guid, guidSchema } from '../protocol/ids.ts';
import type { AgentClient } from './agent-client.ts';
import { type Ask, terminalAsk } from './ask.ts';
import { type ConfigFile, configFile } from './config-file.ts';
import { type CredentialStore, credentialStore } from './credentials.ts';
import type { Io } from './io.ts';
import { parseWith } from './parse.ts';
import { type WorkstationPaths, workstationPaths } from './paths.ts';
import type { ConnectMode } from './reach.ts';
import type { ComposeRequest } from './ssh/compose-session.ts';
import type { HostKey } from './ssh/host-keys.ts';
import type { SyncRequest, SyncResult } from './sync-transport.ts';
import type { MachineTarget, RepositoryTarget } from './target.ts';

export interface CommandContext {
  io: Io;
  env: NodeJS.ProcessEnv;
  cwd: string;
  version: string;
  /** Path of the agent's bundle that this rdc carries. */
  agentBundle: string;
  paths: WorkstationPaths;
  /** --context */
  contextName: ContextName | undefined;
  dryRun: boolean;
  /** Milliseconds of --wait; 0 without it. */
  waitMs: number;
  /** --detach: a run is started and not followed. */
  detach: boolean;
  config: ConfigFile;
  credentials: CredentialStore;
  ask: Ask;
  /** Aborted when a person presses Ctrl-C. */
  signal: AbortSignal;
  /** After the first Ctrl-C: whether a second one comes within `ms` milliseconds. */
  interruptedAgain(ms: number): Promise<boolean>;
  now(): number;
  /** Resolves after `ms` milliseconds, or at once when a person interrupts. */
  pause(ms: number): Promise<void>;
  randomBytes(size: number): Uint8Array;
  newGuid(): Guid;
  /** Host key checked, agent's hello exchanged. Throws what src/cli/ssh throws. */
  connect(target: MachineTarget, mode?: ConnectMode): Promise<AgentClient>;
  scanHostKeys(host: string, port: number): Promise<HostKey[]>;
  /** Path of a program, or undefined where it is not installed. */
  which(program: string): Promise<string | undefined>;
  /** Copies files, or with `dryRun` in the request tells what it would copy. */
  sync(repo: RepositoryTarget, request: SyncRequest): Promise<SyncResult>;
  /** Runs docker compose in a repository on this program's streams; its exit code. */
  compose(machine: MachineTarget, request: ComposeRequest): Promise<number>;
}

/** From outside the program; a test replaces what reaches beyond it. */
export interface ContextDeps {
  env: NodeJS.ProcessEnv;
  cwd: string;
  version: string;
  /** Path of the agent's bundle that this rdc carries. */
  agentBundle: string;
  /** How this program is started again: rsync runs it in place of ssh. */
  program: readonly string[];
  signal: AbortSignal;
  interruptedAgain(ms: number): Promise<boolean>;
  now(): number;
  replace?: Partial<
    Pick<
      CommandContext,
      'connect' | 'scanHostKeys' | 'which' | 'sync' | 'compose' | 'ask' | 'randomBytes' | 'newGuid' | 'pause'
    >
  >;
}

export interface ContextOptions {
  /** Options that every command takes, as parsed. */
  globals: Record<string, unknown>;
  dryRun: boolean;
  detach: boolean;
  /** Duration text of --wait. */
  wait: string | undefined;
}

export function createContext(io: Io, options: ContextOptions, deps: ContextDeps): CommandContext {
  const { env, cwd, version, signal } = deps;
  const { dryRun, detach, wait, globals } = options;
  if (dryRun && detach) throw new RdcError('USAGE', 'a dry run has nothing to detach from: --dry-run or --detach');
  const paths = workstationPaths(env);
  const context: CommandContext = {
    ...{ io, env, cwd, version, paths, dryRun, detach, signal, now: deps.now, agentBundle: deps.agentBundle },
    interruptedAgain: deps.interruptedAgain,
    pause: (ms) => sleep(ms, undefined, { signal }).catch(() => undefined),
    contextName: typeof globals.context === 'string' ? parseWith(contextNameSchema)(globals.context) : undefined,
    waitMs: wait === undefined ? 0 : parseDuration(wait),
    config: configFile({ configDir: paths.configDir, dryRun }),
    credentials: credentialStore({ configDir: paths.configDir, dryRun }),
    ask: terminalAsk(io, signal),
    randomBytes,
    newGuid: () => guidSchema.parse(randomUUID()),
    async connect(target, mode = 'use') {
      const { reachAgent } = await import('./reach.ts');
      return await reachAgent(context, deps.agentBundle, target, mode);
    },
    async scanHostKeys(host, port) {
      const { scan } = await import('./reach.ts');
      return await scan(context, host, port);
    },
    async which(program) {
      return await (await import('./ssh/pick-transport.ts')).findProgram(program, env);
    },
    async sync(repo, request) {
      return await (await import('./sync.ts')).runSync(context, deps.program, repo, request);
    },
    async compose(machine, request) {
      return await (await import('./compose.ts')).runCompose(context, deps.agentBundle, machine, request);
    },
    ...deps.replace,
  };
  return context;
}
