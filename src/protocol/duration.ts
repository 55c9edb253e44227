// Durations as people write them on the command line (90s, 15m, 2h) and as we print them.
import { RdcError } from './errors.ts';

const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const;

/** Milliseconds of a duration text; a bare number is seconds. Throws INVALID_INPUT. */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text.trim());
  if (match?.[1] === undefined) {
    throw new RdcError('INVALID_INPUT', `"${text}" is not a duration`, { hint: 'write e.g. 30s, 15m or 2h' });
  }
  return Math.round(Number(match[1]) * UNITS[(match[2] ?? 's') as keyof typeof UNITS]);
}

/** 412 -> "0.4s", 75000 -> "1m15s". */
export function formatDuration(ms: number): string {
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)}s`;
  const seconds = Math.round(ms / 1000);
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes}m${seconds % 60}s` : `${Math.floor(minutes / 60)}h${minutes % 60}m`;
}
