// A pass over the Rediaccfiles of a repository: what it is asked, and how a plan tells of its calls.
import { randomBytes } from 'node:crypto';
import type { FunctionName } from '../lifecycle/function-call.ts';
import type { PassRequest } from '../lifecycle/passes.ts';
import { labelOf, type Rediaccfile } from '../lifecycle/rediaccfile.ts';
import type { PlanStep } from '../protocol/events.ts';
import type { RunContext } from './handlers.ts';
import type { PreparedCalls } from './prepare-calls.ts';
import type { Workbench } from './repo-workbench.ts';

interface Pass {
  name: FunctionName;
  calls: PreparedCalls;
  timeoutMs: number | undefined;
}

export function passRequest(bench: Workbench, context: RunContext, { name, calls, timeoutMs }: Pass): PassRequest {
  return {
    system: context.system,
    report: context.report,
    target: bench.target,
    name,
    ...calls,
    runId: context.run,
    mark: `rediacc-${randomBytes(8).toString('hex')}`,
    timeoutMs,
    host: bench.settings.host,
  };
}

export function callStep(name: FunctionName, file: Rediaccfile): PlanStep {
  return { id: `${name}.${labelOf(file)}`, title: `${labelOf(file)} ${name}`, expect: 'always' };
}
