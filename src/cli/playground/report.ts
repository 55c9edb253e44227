// How the playground tells what it is doing. Words and colour are the caller's business.

export interface StepReport {
  title: string;
  state: 'start' | 'done' | 'info' | 'failed';
  /** How long the step took, once it has ended. */
  ms?: number;
  detail?: string;
}

export type ReportStep = (step: StepReport) => void;

/** Runs one step of a longer work and reports its start, its end and its duration. */
export async function reported<T>(report: ReportStep, title: string, work: () => Promise<T>): Promise<T> {
  const startedAt = performance.now();
  const elapsed = () => Math.round(performance.now() - startedAt);
  report({ title, state: 'start' });
  try {
    const result = await work();
    report({ title, state: 'done', ms: elapsed() });
    return result;
  } catch (error) {
    report({ title, state: 'failed', ms: elapsed() });
    throw error;
  }
}
