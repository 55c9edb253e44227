// Follows a program that tells of changes for as long as the agent lives, and looks whenever it tells of one that matters:
// nothing is asked on a timer while all is well.
import type { Command } from '../lifecycle/command.ts';
import { command } from '../lifecycle/command.ts';
import type { System } from '../lifecycle/system.ts';

export interface MonitorDeps {
  system: System;
  signal: AbortSignal;
  /** Tells a line per change on stdout. */
  monitor: Command;
  /** Lines that are a reason to look. */
  concerns: RegExp;
  /** Changes come in groups: how long one may take, milliseconds. */
  settleMs: number;
  look(): Promise<void>;
  onTrouble(error: unknown): void;
}

export interface Monitoring {
  /** Beside what the program tells. */
  look(): void;
  /** Resolves with the signal. */
  ended: Promise<void>;
}

/** Before the program is started again, should it end, and before the next look when one fails. */
const PAUSE_MS = 10_000;
const FOR_EVER_MS = Number.MAX_SAFE_INTEGER;
const LONGEST_LINE = 4096;

export function followMonitor({ system, signal, monitor, concerns, settleMs, ...deps }: MonitorDeps): Monitoring {
  let looking: Promise<void> | undefined;
  let again = false;
  let isFailing = false;
  /** A look that fails is made again: what it was for is told only once. */
  const lookOnce = async () => {
    await system.sleep(settleMs);
    try {
      await deps.look();
      isFailing = false;
    } catch (error) {
      if (!signal.aborted && !isFailing) deps.onTrouble(error);
      isFailing = true;
      again = true;
      await system.sleep(PAUSE_MS);
    }
  };
  const look = (): void => {
    again = true;
    looking ??= (async () => {
      while (again && !signal.aborted) {
        again = false;
        await lookOnce();
      }
    })()
      .catch((error: unknown) => {
        if (!signal.aborted) deps.onTrouble(error);
      })
      .finally(() => {
        looking = undefined;
      });
  };
  const follow = async () => {
    while (!signal.aborted) {
      // What happened while nobody watched.
      look();
      // Ends with this process: systemd leaves our children running (KillMode=process).
      const child = command('setpriv', '--pdeathsig', 'KILL', monitor.file, ...monitor.args);
      let rest = '';
      await system
        .run({ ...child, timeoutMs: FOR_EVER_MS, keptBytes: LONGEST_LINE, allow: [1] }, (_stream, chunk) => {
          const text = rest + chunk.toString('latin1');
          if (concerns.test(text)) look();
          rest = text.slice(text.lastIndexOf('\n') + 1).slice(-LONGEST_LINE);
        })
        .catch(() => undefined);
      await looking;
      if (!signal.aborted) await system.sleep(PAUSE_MS).catch(() => undefined);
    }
  };
  return { look, ended: follow() };
}
