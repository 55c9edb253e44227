// The end of a step in one line.
import { formatDuration } from '../protocol/duration.ts';
import type { Paint } from './io.ts';

export interface StepEvent {
  id: string;
  title: string;
  state: 'start' | 'done' | 'already' | 'failed' | 'skipped' | 'info';
  ms?: number | undefined;
  detail?: string | undefined;
}

type Colours = Pick<Paint, 'green' | 'red' | 'dim'>;
const plain = (text: string | number | null | undefined) => String(text);
const NO_COLOURS: Colours = { green: plain, red: plain, dim: plain };

export function describeStep({ title, state, ms, detail }: StepEvent, paint: Colours = NO_COLOURS): string {
  const took = ms === undefined ? '' : ` ${paint.dim(formatDuration(ms))}`;
  const why = detail === undefined ? '' : `: ${detail}`;
  if (state === 'done') return `${paint.green('✓')} ${title}${why}${took}`;
  if (state === 'failed') return `${paint.red('✗')} ${title}${why}${took}`;
  if (state === 'already') return paint.dim(`= already: ${detail ?? title}`);
  if (state === 'skipped') return paint.dim(`- ${title}: ${detail ?? 'skipped'}`);
  return `  ${title}${why}`;
}
