// Notices that a session with the agent is gone, by its end or by silence.
import { setTimeout as setTimeoutAsync } from 'node:timers/promises';
import { RdcError } from '../../protocol/errors.ts';
import { withDeadline } from './deadline.ts';
import { connectionLost } from './failure.ts';
import type { SshSession, SshTarget } from './transport.ts';

const TICK_MS = 5000;
/** 40 s: the agent sends a heartbeat every 10. */
const SILENT_TICKS = 8;
const LAST_WORDS_MS = 1000;

export interface LinkWatch {
  /** Never resolves. Rejects with CONNECTION_LOST; safe to ignore. */
  lost: Promise<never>;
  stop(): void;
}

/** Counts ticks and not the clock, so that a laptop that slept gets its 40 s after waking. */
export function watchLink(session: SshSession, target: SshTarget, tickMs = TICK_MS): LinkWatch {
  let silent = 0;
  let stop = (): void => undefined;
  const lost = new Promise<never>((_resolve, reject) => {
    const heard = (): void => {
      silent = 0;
    };
    const timer = setInterval(() => {
      silent += 1;
      if (silent >= SILENT_TICKS) reject(connectionLost(target, 'nothing was heard from the agent'));
    }, tickMs);
    session.stdout.on('data', heard);
    stop = () => {
      clearInterval(timer);
      session.stdout.off('data', heard);
    };
    session.ended
      .then(
        ({ exitCode }) => connectionLost(target, `${session.stderrText()}exit code ${exitCode}`),
        (error: unknown) => asLost(target, error),
      )
      .then(async (error) => {
        await lastWords(session);
        reject(error);
      });
  });
  lost.catch(() => stop());
  return { lost, stop: () => stop() };
}

function asLost(target: SshTarget, error: unknown): RdcError {
  return error instanceof RdcError && error.code === 'CONNECTION_LOST' ? error : connectionLost(target, error);
}

/** An answer may have come just before the end: it is read and handed out first. */
async function lastWords({ stdout }: SshSession): Promise<void> {
  if (!stdout.readableEnded && !stdout.destroyed) {
    const ended = new Promise<void>((resolve) => {
      stdout.once('end', resolve).once('close', resolve);
    });
    await withDeadline(ended, LAST_WORDS_MS, () => new Error('late')).catch(() => undefined);
  }
  await setTimeoutAsync(20);
}
