// Wires src/cli/ssh to a command's context: which client, which key, which agent.
import { hostname, userInfo } from 'node:os';
import { join } from 'node:path';
import type { AgentClient } from './agent-client.ts';
import type { Ask } from './ask.ts';
import type { Io } from './io.ts';
import type { WorkstationPaths } from './paths.ts';
import { openProgress, type Progress } from './progress.ts';
import type { AccessEvent, AgentAccess } from './ssh/access.ts';
import type { HostKey } from './ssh/host-keys.ts';
import { findProgram, pickTransport } from './ssh/pick-transport.ts';
import type { SshTarget, SshTransport } from './ssh/transport.ts';
import type { MachineTarget } from './target.ts';

/** "use": the agent that is there. "install": put one there first. "temporary": one that leaves nothing behind. */
export type ConnectMode = 'use' | 'install' | 'temporary';

/** What reaching a machine needs of the command's context. */
export interface ReachContext {
  env: NodeJS.ProcessEnv;
  io: Io;
  ask: Ask;
  paths: WorkstationPaths;
  version: string;
  signal: AbortSignal;
  now(): number;
}

export async function reachAgent(
  context: ReachContext,
  bundlePath: string,
  machine: MachineTarget,
  mode: ConnectMode,
): Promise<AgentClient> {
  const reporter = accessReporter(context);
  const access = await agentAccess(context, bundlePath, machine, reporter.report);
  try {
    if (mode === 'use') return await (await import('./ssh/agent-connect.ts')).connectAgent(access);
    const { installAgent, openTemporaryAgent } = await import('./ssh/agent-install.ts');
    return await (mode === 'install' ? installAgent(access) : openTemporaryAgent(access));
  } finally {
    reporter.close();
  }
}

export function sshTarget({ name, machine, sshKey }: MachineTarget): SshTarget {
  const { ip, port, user, hostKeys } = machine;
  const identity = sshKey === undefined ? {} : { identityFile: sshKey };
  return { machine: name, host: ip, port, user, hostKeys, ...identity };
}

export async function transportFor(context: ReachContext, { ssh }: MachineTarget): Promise<SshTransport> {
  const { env, io, ask } = context;
  const which = (program: string) => findProgram(program, env);
  const askPassphrase = (file: string) => ask.passphrase(`passphrase of ${file}:`);
  return await pickTransport({ prefer: ssh, which, env, ...(io.canAsk ? { askPassphrase } : {}) });
}

export async function agentAccess(
  context: ReachContext,
  bundlePath: string,
  machine: MachineTarget,
  report: (event: AccessEvent) => void,
): Promise<AgentAccess> {
  const { version, signal, io, paths, env } = context;
  return {
    ...{ version, signal, report, tty: io.canAsk, actor: actorOf(env) },
    transport: await transportFor(context, machine),
    target: sshTarget(machine),
    bundle: async () => (await import('./ssh/agent-bundle.ts')).loadAgentBundle(bundlePath, version),
    async nodeRuntime(arch) {
      const { fetchNodeRuntime } = await import('./ssh/node-runtime.ts');
      const cacheDir = join(paths.cacheDir, 'node');
      return await fetchNodeRuntime(arch, { cacheDir, report: (message) => report({ kind: 'step', message }) });
    },
  };
}

export async function scan({ env }: ReachContext, host: string, port: number): Promise<HostKey[]> {
  const { scanHostKeys } = await import('./ssh/host-keys.ts');
  return await scanHostKeys(host, port, { which: (program) => findProgram(program, env) });
}

/** Nothing is drawn until there is something long to show: ssh may have to ask for a passphrase first. */
function accessReporter({ io, now }: ReachContext): { report(event: AccessEvent): void; close(): void } {
  let opening: Promise<Progress> | undefined;
  const draw = (work: (progress: Progress) => void) => {
    opening ??= openProgress(io, now);
    void opening.then(work);
  };
  return {
    report(event) {
      if (event.kind === 'step')
        return draw((progress) => progress.step({ id: 'access', title: event.message, state: 'info' }));
      const { title, done, total } = event;
      draw((progress) => progress.transfer({ id: title, done, total, unit: 'bytes' }));
      if (done >= total) draw((progress) => progress.step({ id: title, title, state: 'done' }));
    },
    close: () => void opening?.then((progress) => progress.close()),
  };
}

/** Who asks, as others see it: user@workstation. */
export function actorOf(env: NodeJS.ProcessEnv): string {
  return `${userName(env)}@${hostname()}`;
}

/** A user id without a name is possible in containers. */
function userName(env: NodeJS.ProcessEnv): string {
  try {
    return userInfo().username;
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return env.USER ?? String(process.getuid?.() ?? 'unknown');
  }
}
