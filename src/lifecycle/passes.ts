// One pass: the same function of every Rediaccfile, in order. What a failure means: prep stops all; the root's up
// stops; a directory's up and any down are noted and the pass goes on, and the run ends partial.
import { RdcError } from '../protocol/errors.ts';
import type { Report } from '../protocol/events.ts';
import type { Command } from './command.ts';
import type { FunctionCall, FunctionName } from './function-call.ts';
import { functionCommand, functionUnit } from './function-call.ts';
import { createReportReader, failureOf } from './function-report.ts';
import { createLineSplitter } from './line-splitter.ts';
import { exitCodeOf } from './luks.ts';
import type { Rediaccfile } from './rediaccfile.ts';
import { labelOf } from './rediaccfile.ts';
import type { HostView } from './sandbox.ts';
import type { OutputSink, System } from './system.ts';
import type { RepoTarget } from './target.ts';

export interface PassRequest {
  system: System;
  report: Report;
  target: RepoTarget;
  name: FunctionName;
  /** In the order of `up`; a pass of `down` goes through them backwards. */
  rediaccfiles: readonly Rediaccfile[];
  /** What one function finds in its environment. */
  environmentOf(rediaccfile: Rediaccfile): Readonly<Record<string, string>>;
  /** The .env beside it, parsed. */
  settingsOf(rediaccfile: Rediaccfile): ReadonlyMap<string, string>;
  /** Why one cannot be called at all; a pass of `down` tells it and goes on. */
  faultOf(rediaccfile: Rediaccfile): string | undefined;
  /** Makes unit names unique: the run's id. */
  runId: string;
  /** Random, so that no output can be taken for the wrapper's own words. */
  mark: string;
  timeoutMs: number | undefined;
  host: HostView;
}

export interface Failure {
  /** "backend up" */
  where: string;
  reason: string;
}

/** Failures that did not stop the pass. Throws FUNCTION_FAILED for one that does. */
export async function runPass(request: PassRequest): Promise<Failure[]> {
  const { name, rediaccfiles } = request;
  const ordered = name === 'down' ? rediaccfiles.toReversed() : rediaccfiles;
  const failures: Failure[] = [];
  for (const [index, rediaccfile] of ordered.entries()) {
    const reason = await callFunction(request, rediaccfile, index);
    if (reason === undefined) continue;
    const where = `${labelOf(rediaccfile)} ${name}`;
    if (name === 'prep' || (name === 'up' && rediaccfile.directory === '')) {
      throw new RdcError('FUNCTION_FAILED', `${name}() of ${describe(request.target, rediaccfile)} failed: ${reason}`, {
        hint: `rdc run logs ${request.runId}`,
      });
    }
    failures.push({ where, reason });
  }
  return failures;
}

function describe(target: RepoTarget, { directory, file }: Rediaccfile): string {
  return `"${target.name}" (${directory === '' ? file : `${directory}/${file}`})`;
}

/** undefined: it succeeded, or there is no such function. Else why it failed. */
async function callFunction(
  request: PassRequest,
  rediaccfile: Rediaccfile,
  index: number,
): Promise<string | undefined> {
  const { system, report, name } = request;
  const source = `${labelOf(rediaccfile)} ${name}`;
  const step = { kind: 'step', id: `${name}.${labelOf(rediaccfile)}`, title: source } as const;
  const started = system.now();
  report({ ...step, state: 'start' });
  const fault = request.faultOf(rediaccfile);
  const end = fault === undefined ? await callAndListen(request, rediaccfile, index) : { reason: fault };
  const ms = Math.round(system.now() - started);
  if (end.reason !== undefined) report({ ...step, state: 'failed', ms, detail: end.reason });
  else if (end.skipped !== undefined) report({ ...step, state: 'skipped', detail: end.skipped });
  else report({ ...step, state: 'done', ms });
  return end.reason;
}

interface End {
  reason?: string | undefined;
  skipped?: string;
}

async function callAndListen(request: PassRequest, rediaccfile: Rediaccfile, index: number): Promise<End> {
  const { system, report, name, mark, timeoutMs } = request;
  const source = `${labelOf(rediaccfile)} ${name}`;
  const call = callOf(request, rediaccfile, index);
  const reader = createReportReader(mark, functionUnit(call), (line) => report({ kind: 'output', source, ...line }));
  const lines = createLineSplitter(reader.take);
  const exitCode = await exitCodeOfRun(system, functionCommand(call), lines.write).finally(lines.end);
  reader.end();
  const { left, reached } = reader.report;
  if (left.length > 0) {
    report({
      kind: 'warning',
      message: `what ${source} left running was ended with it: ${left.join(', ')}`,
      hint: 'what is to go on running belongs into a compose file',
    });
  }
  const reason = failureOf(reader.report, { exitCode, name, timeoutMs });
  if (reason !== undefined) return { reason };
  if (reached === 'undefined') return { skipped: `no ${name}()` };
  if (reached === 'called') return {};
  const ended = `${describe(request.target, rediaccfile)} ended its shell with exit code 0 before ${name}() was called`;
  report({ kind: 'warning', message: ended, hint: 'use "return" in place of "exit" outside of functions' });
  return { skipped: `the file ended before ${name}()` };
}

/** Throws what is no end of the command itself: it could not be started, or the run was cancelled. */
async function exitCodeOfRun(system: System, command: Command, onOutput: OutputSink): Promise<number> {
  try {
    return (await system.run(command, onOutput)).exitCode;
  } catch (error) {
    const exitCode = exitCodeOf(error);
    if (exitCode === undefined) throw error;
    return exitCode;
  }
}

function callOf(request: PassRequest, rediaccfile: Rediaccfile, index: number): FunctionCall {
  const { target, name, runId, mark, timeoutMs, host } = request;
  return {
    target,
    rediaccfile,
    name,
    callId: `${runId}-${name}-${index}`,
    environment: request.environmentOf(rediaccfile),
    settings: request.settingsOf(rediaccfile),
    mark,
    timeoutMs,
    host,
  };
}
