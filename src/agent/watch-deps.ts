// What the watch of a repository works with, and when there is something to watch.
import type { System } from '../lifecycle/system.ts';
import type { RepoTarget } from '../lifecycle/target.ts';
import type { SupervisionKind, SupervisionSettings } from '../protocol/supervision.ts';
import type { SupervisionRecord } from './supervision-record.ts';

export interface WatchDeps {
  /** Its commands and pauses end with the signal. */
  system: System;
  signal: AbortSignal;
  record: SupervisionRecord;
  /** Milliseconds since the epoch. */
  now(): number;
  settings(): Promise<Pick<SupervisionSettings, 'enabled' | 'restarts'>>;
  /** Aborted, and made anew, when the settings have changed. */
  changed(): AbortSignal;
  /** Does the work with the repository's lock; false: somebody else has it. */
  withLock(target: RepoTarget, what: string, work: () => Promise<void>): Promise<boolean>;
  /** A whole `repo up` as a run of its own. Throws why it failed; BUSY. */
  bringUp(target: RepoTarget): Promise<void>;
  tell(kind: SupervisionKind, message: string, target: RepoTarget): void;
  giveUp(target: RepoTarget, reason: string): void;
}

/** Between tries to get at a repository that somebody else is changing. */
export const BUSY_MS = 5_000;

/** Up was asked for, and down was not. */
export async function shouldBeUp({ needsDownFlag }: RepoTarget, { system }: WatchDeps): Promise<boolean> {
  return (await system.stat(needsDownFlag)) !== undefined;
}
