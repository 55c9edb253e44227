// How full a filesystem is, as both programs tell it: a volume's own, or the one that holds the datastore.
import * as z from 'zod';

/** Percent from which a filesystem is running out, and from which little is left. */
export const WARNING_PERCENT = 90;
export const CRITICAL_PERCENT = 95;

export const spaceSchema = z.object({
  totalBytes: z.number(),
  usedBytes: z.number(),
  /** To everybody, as df shows it: what a filesystem keeps for root is neither used nor free. */
  freeBytes: z.number(),
  /** Absent where the filesystem makes inodes as it needs them (btrfs). */
  totalInodes: z.number().optional(),
  freeInodes: z.number().optional(),
  /** Of bytes or of inodes, whatever is more; rounded up. */
  usedPercent: z.number(),
  level: z.enum(['ok', 'warning', 'critical']),
});
export type SpaceReport = z.infer<typeof spaceSchema>;

export function levelOf(usedPercent: number): SpaceReport['level'] {
  if (usedPercent >= CRITICAL_PERCENT) return 'critical';
  return usedPercent >= WARNING_PERCENT ? 'warning' : 'ok';
}
