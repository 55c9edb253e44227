// Something that moves, in words: how much, how fast, how long still.
import { formatDuration } from '../protocol/duration.ts';
import { formatSize } from '../protocol/size.ts';

export interface TransferEvent {
  id: string;
  done: number;
  total?: number | undefined;
  unit: 'bytes' | 'items';
}

/** A rate from the first moments says nothing. */
const RATE_AFTER_MS = 500;

/** "412M of 1.2G (34%), 38M/s, 21.3s left"; the rate counts from `startedWith`, what was there when we began to look. */
export function describeTransfer({ done, total, unit }: TransferEvent, elapsedMs: number, startedWith = 0): string {
  const show = (amount: number) => (unit === 'bytes' ? formatSize(Math.round(amount)) : String(Math.round(amount)));
  const rate = elapsedMs < RATE_AFTER_MS ? 0 : ((done - startedWith) / elapsedMs) * 1000;
  const whole = total === undefined || total === 0 ? undefined : total;
  const amount =
    whole === undefined ? show(done) : `${show(done)} of ${show(whole)} (${Math.floor((100 * done) / whole)}%)`;
  if (rate <= 0) return amount;
  const left = whole === undefined || done >= whole ? '' : `, ${formatDuration(((whole - done) / rate) * 1000)} left`;
  return `${amount}, ${show(rate)}/s${left}`;
}
