// What it takes to reach the agent of one machine.
import type { AgentBundle } from './agent-bundle.ts';
import type { HelloOptions, Speaker } from './hello.ts';
import type { NodeRuntime } from './node-runtime.ts';
import { elevate, type Right } from './remote-failure.ts';
import type { SessionOptions, SshSession, SshTarget, SshTransport } from './transport.ts';

/** Long work before the operation itself: getting the agent onto the machine. */
export type AccessEvent =
  | { kind: 'step'; message: string }
  | { kind: 'transfer'; title: string; done: number; total: number };

export interface AgentAccess extends Speaker, SessionOptions {
  transport: SshTransport;
  target: SshTarget;
  /** The agent that this rdc carries. */
  bundle(): Promise<AgentBundle>;
  /** A Node for a server without one; `arch` as `uname -m` says it. */
  nodeRuntime(arch: string): Promise<NodeRuntime>;
  report(event: AccessEvent): void;
  /** Where the agent lives; only tests put it elsewhere. */
  place?: AgentPlace;
}

export interface AgentPlace {
  launcher: string;
  libDir: string;
}

/** As src/agent/layout.ts has it (test/cli/ssh/bootstrap.test.ts compares). */
export const AGENT_PLACE: AgentPlace = { launcher: '/usr/bin/renet', libDir: '/usr/lib/rediacc' };

/** One session that runs the words as root. */
export function openElevated(access: AgentAccess, words: readonly string[]): SshSession {
  return access.transport.open(access.target, elevate(access.target, words), access);
}

export function helloOptions({ target, tty, place = AGENT_PLACE }: AgentAccess, right: Right): HelloOptions {
  return { target, right, launcher: place.launcher, timeoutMs: tty === true ? 300_000 : 60_000 };
}
