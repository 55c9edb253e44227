// The unit in which a filesystem is made smaller: it outlives its run, since nobody may end it between two blocks.
import type { RepoRecord } from './repo-store.ts';

export function resizeUnit({ guid }: Pick<RepoRecord, 'guid'>): string {
  return `rediacc-resize-${guid}.service`;
}
