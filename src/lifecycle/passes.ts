// One pass: the same function of every Rediaccfile, in order. What a failure means: prep stops all; the root's up
// stops; a directory's up and any down are noted and the pass goes on, and the run ends partial.
import { RdcError } from '../protocol/errors.ts';
import type { Report } from '../protocol/events.ts';
import type { FunctionCall, FunctionName } from './function-call.ts';
import { functionCommand } from './function-call.ts';
import { createLineSplitter } from './line-splitter.ts';
import { exitCodeOf } from './luks.ts';
import type { Rediaccfile } from './rediaccfile.ts';
import { labelOf } from './rediaccfile.ts';
import type { System } from './system.ts';
import type { RepoTarget } from './target.ts';

export interface PassRequest {
  system: System;
  report: Report;
  target: RepoTarget;
  name: FunctionName;
  /** In the order of `up`; a pass of `down` goes through them backwards. */
  rediaccfiles: readonly Rediaccfile[];
  environment: Readonly<Record<string, string>>;
  /** Makes unit names unique: the run's id. */
  runId: string;
  undefinedMark: string;
  timeoutMs: number | undefined;
  resolvConf: string | undefined;
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
  const { system, report, name, undefinedMark } = request;
  const source = `${labelOf(rediaccfile)} ${name}`;
  const step = { kind: 'step', id: `${name}.${labelOf(rediaccfile)}`, title: source } as const;
  const started = system.now();
  const elapsed = () => Math.round(system.now() - started);
  let defined = true;
  const lines = createLineSplitter((stream, text) => {
    if (stream === 'stderr' && text === undefinedMark) defined = false;
    else report({ kind: 'output', source, stream, text });
  });
  report({ ...step, state: 'start' });
  try {
    await system.run(functionCommand(callOf(request, rediaccfile, index)), lines.write);
    lines.end();
    report(defined ? { ...step, state: 'done', ms: elapsed() } : { ...step, state: 'skipped', detail: `no ${name}()` });
    return undefined;
  } catch (error) {
    lines.end();
    const exitCode = exitCodeOf(error);
    if (exitCode === undefined) throw error;
    const limit = request.timeoutMs;
    const reason =
      limit !== undefined && elapsed() >= limit ? `it ran longer than ${limit / 1000}s` : `exit code ${exitCode}`;
    report({ ...step, state: 'failed', ms: elapsed(), detail: reason });
    return reason;
  }
}

function callOf(request: PassRequest, rediaccfile: Rediaccfile, index: number): FunctionCall {
  const { target, name, environment, runId, undefinedMark, timeoutMs, resolvConf } = request;
  return {
    target,
    rediaccfile,
    name,
    callId: `${runId}-${name}-${index}`,
    environment,
    undefinedMark,
    timeoutMs,
    resolvConf,
  };
}
