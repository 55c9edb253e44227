// Wires ssh/compose-session.ts to a command's context.
import type { Readable, Writable } from 'node:stream';
import type { TerminalSize } from '../protocol/terminal.ts';
import { agentAccess, type ReachContext } from './reach.ts';
import { type ComposeRequest, composeOverSsh, StreamRefused } from './ssh/compose-session.ts';
import type { SyncContext } from './sync.ts';
import type { MachineTarget } from './target.ts';
import { lendTerminal, terminalOf } from './terminal.ts';

/** compose's exit code. An agent that does not know the stream is brought up to date by a session of the usual kind. */
export async function runCompose(
  context: SyncContext,
  bundlePath: string,
  machine: MachineTarget,
  request: ComposeRequest,
): Promise<number> {
  try {
    return await composeOnce(context, bundlePath, machine, request);
  } catch (error) {
    if (!(error instanceof StreamRefused)) throw error;
    if (!error.otherAgent) throw error.reason;
  }
  await (await context.connect(machine)).close();
  try {
    return await composeOnce(context, bundlePath, machine, request);
  } catch (error) {
    throw error instanceof StreamRefused ? error.reason : error;
  }
}

async function composeOnce(
  context: ReachContext,
  bundlePath: string,
  machine: MachineTarget,
  request: ComposeRequest,
): Promise<number> {
  const { stdin, stdout, stderr } = context.io.streams;
  const report = () => undefined;
  const access = await agentAccess(context, bundlePath, machine, report);
  const streams = { stdin: stdin as Readable, stdout: stdout as Writable, stderr: stderr as Writable };
  const terminal = terminalOf(context.io.streams, context.env);
  if (terminal === undefined) return await composeOverSsh(access, request, streams);
  const lend = (onSize: (size: TerminalSize) => void) => lendTerminal(stdin, stdout, onSize);
  return await composeOverSsh(access, { ...request, terminal }, { ...streams, lendTerminal: lend });
}
