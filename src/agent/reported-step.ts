// A step of a run that is no plan's: reported from its start to its end, with its duration.
import { messageOf } from '../protocol/errors.ts';
import type { RunContext } from './handlers.ts';

export interface ReportedStep {
  /** Stable: area.verb. */
  id: string;
  title: string;
}

/** `detail`: what is said of the result behind the title. Throws what `work` throws, after it was reported. */
export async function reportedStep<T>(
  { report, system }: Pick<RunContext, 'report' | 'system'>,
  step: ReportedStep,
  work: () => Promise<T>,
  detail?: (result: T) => string | undefined,
): Promise<T> {
  const started = system.now();
  const event = (state: 'start' | 'done' | 'failed', words?: string) =>
    report({
      kind: 'step',
      ...step,
      state,
      ...(state === 'start' ? {} : { ms: Math.round(system.now() - started) }),
      ...(words === undefined ? {} : { detail: words }),
    });
  event('start');
  try {
    const result = await work();
    event('done', detail?.(result));
    return result;
  } catch (error) {
    event('failed', messageOf(error));
    throw error;
  }
}
