// Sizes as people write them: 512M, 10G, 1.5T, 10GiB, 500MB. As in docker, lvm and truncate a bare letter is
// binary (10G = 10 GiB); GB and MB are decimal, GiB and MiB binary.
import { RdcError } from './errors.ts';

const BINARY = { K: 1024, M: 1024 ** 2, G: 1024 ** 3, T: 1024 ** 4 } as const;
const DECIMAL = { K: 1000, M: 1000 ** 2, G: 1000 ** 3, T: 1000 ** 4 } as const;

/** Bytes of a size text. Throws INVALID_INPUT for anything else, a bare number without unit included. */
export function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([KMGT])(iB|B)?$/i.exec(text.trim());
  const unit = match?.[2]?.toUpperCase() as keyof typeof BINARY | undefined;
  if (match?.[1] === undefined || unit === undefined) {
    throw new RdcError('INVALID_INPUT', `"${text}" is not a size`, {
      hint: 'write a number and a unit, e.g. 512M, 10G or 1T',
    });
  }
  const factor = match[3]?.toLowerCase() === 'b' ? DECIMAL[unit] : BINARY[unit];
  const bytes = Math.round(Number(match[1]) * factor);
  if (!Number.isSafeInteger(bytes)) throw new RdcError('INVALID_INPUT', `"${text}" is too large a size`);
  return bytes;
}

/** The same size as parseSize reads it back, to the byte: for commands to paste. A multiple of 1024. */
export function exactSize(bytes: number): string {
  for (const unit of ['T', 'G', 'M'] as const) {
    if (bytes % BINARY[unit] === 0) return `${bytes / BINARY[unit]}${unit}`;
  }
  return `${bytes / BINARY.K}K`;
}

/** Binary units with one decimal where it tells something: 10G, 1.5G, 320K, 12B. */
export function formatSize(bytes: number): string {
  for (const unit of ['T', 'G', 'M', 'K'] as const) {
    if (bytes >= BINARY[unit]) {
      const value = bytes / BINARY[unit];
      return `${Number.isInteger(value) || value >= 100 ? Math.round(value) : value.toFixed(1)}${unit}`;
    }
  }
  return `${bytes}B`;
}
