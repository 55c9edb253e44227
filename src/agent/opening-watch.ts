// Whether somebody attaches or opens the image of an open repository a second time, which destroys it as soon as both write:
// the kernel's events of block devices tell (udevadm(8), "monitor"). It is only told: what is open is in use. Also while
// supervision is off: nobody switches that off to lose a volume.
import { observeBlockDevices } from '../lifecycle/block-devices.ts';
import { command } from '../lifecycle/command.ts';
import { describeForeign, findOpenings, foreignOpenings } from '../lifecycle/openings.ts';
import type { System } from '../lifecycle/system.ts';
import type { RepoTarget } from '../lifecycle/target.ts';
import { followMonitor, type Monitoring } from './follow-monitor.ts';

export interface OpeningWatchDeps {
  system: System;
  signal: AbortSignal;
  /** Every finished repository of the machine. */
  repos(): Promise<RepoTarget[]>;
  giveUp(target: RepoTarget, reason: string): void;
  /** Of one that is attached once. */
  isInOrder(target: RepoTarget): void;
  onTrouble(error: unknown): void;
}

/** A loop device gets its file, then its mapping, in two events. */
const SETTLE_MS = 500;
/** "KERNEL[1234.567890] change   /devices/virtual/block/loop5 (block)" */
const CONCERNS_US = /^KERNEL\[[\d.]+\] +(add|change|remove) +\/devices\/virtual\/block\/(loop|dm-)\d+ /m;

export interface OpeningWatch {
  /** Something may be opened from now on. May be called again and again. */
  begin(): void;
  /** Where something is open already: until then there is nothing to watch. */
  beginIfOpen(): Promise<void>;
  /** Beside what the kernel tells. */
  look(): void;
  /** Resolves with the signal. */
  ended(): Promise<void>;
}

export function watchOpenings({ system, signal, onTrouble, ...deps }: OpeningWatchDeps): OpeningWatch {
  let monitoring: Monitoring | undefined;
  const begin = () => {
    if (signal.aborted) return;
    monitoring ??= followMonitor({
      ...{ system, signal, onTrouble, concerns: CONCERNS_US, settleMs: SETTLE_MS },
      monitor: command('udevadm', 'monitor', '--kernel', '--subsystem-match=block'),
      look: () => tellSecondOpenings(system, deps),
    });
  };
  return {
    begin,
    beginIfOpen: async () => {
      // Where that cannot be told, as well.
      if (await isAnyOpen(system).catch(() => true)) begin();
    },
    look: () => monitoring?.look(),
    ended: async () => monitoring?.ended,
  };
}

async function isAnyOpen(system: System): Promise<boolean> {
  return (await observeBlockDevices(system)).mappings.some(({ name }) => name.startsWith('rediacc-'));
}

async function tellSecondOpenings(
  system: System,
  { repos, giveUp, isInOrder }: Pick<OpeningWatchDeps, 'repos' | 'giveUp' | 'isInOrder'>,
): Promise<void> {
  const targets = await repos();
  const openings = await findOpenings(
    system,
    targets.map(({ paths }) => paths.image),
  );
  for (const target of targets) {
    const all = openings.get(target.paths.image) ?? [];
    // A closed one is looked at before it is opened.
    if (!all.some(({ mappings }) => mappings.includes(target.paths.mapping))) continue;
    const foreign = foreignOpenings(target, all);
    if (foreign.length > 0) giveUp(target, describeForeign(target, foreign).what);
    else isInOrder(target);
  }
}
