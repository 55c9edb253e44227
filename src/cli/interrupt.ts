// Ctrl-C and its relatives. The first one asks whatever is going on to end properly; the second one ends the program.
import { setTimeout as sleep } from 'node:timers/promises';

export interface Interrupts {
  signal: AbortSignal;
  /** The signal that came, for the exit code. */
  received(): NodeJS.Signals | undefined;
  /** After a Ctrl-C: whether there is another one within `ms` milliseconds. That one does not end the program. */
  again(ms: number): Promise<boolean>;
}

export function watchInterrupts(source: NodeJS.Process): Interrupts {
  const controller = new AbortController();
  let received: NodeJS.Signals | undefined;
  let onAnother: (() => void) | undefined;
  const onSignal = (name: NodeJS.Signals) => {
    if (onAnother !== undefined && name === 'SIGINT') return onAnother();
    if (received !== undefined) source.exit(130);
    received = name;
    controller.abort();
  };
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) source.on(name, onSignal);
  const again = async (ms: number) => {
    if (received !== 'SIGINT') return false;
    const another = new Promise<boolean>((resolve) => {
      onAnother = () => resolve(true);
    });
    const isSo = await Promise.race([another, sleep(ms, false)]);
    onAnother = undefined;
    return isSo;
  };
  return { signal: controller.signal, received: () => received, again };
}

/** The result of `work`, or undefined as soon as a person interrupts; `work` is then left to itself. */
export async function untilInterrupted<T>(signal: AbortSignal, work: Promise<T>): Promise<T | undefined> {
  if (signal.aborted) return undefined;
  let stop: () => void = () => undefined;
  const interrupted = new Promise<undefined>((resolve) => {
    stop = () => resolve(undefined);
    signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([work, interrupted]);
  } finally {
    signal.removeEventListener('abort', stop);
    if (signal.aborted) work.catch(() => undefined);
  }
}
