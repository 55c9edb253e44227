// Ctrl-C and its relatives. The first one asks whatever is going on to end properly; the second one ends the program.

export interface Interrupts {
  signal: AbortSignal;
  /** The signal that came, for the exit code. */
  received(): NodeJS.Signals | undefined;
}

export function watchInterrupts(source: NodeJS.Process): Interrupts {
  const controller = new AbortController();
  let received: NodeJS.Signals | undefined;
  const onSignal = (name: NodeJS.Signals) => {
    if (received !== undefined) source.exit(130);
    received = name;
    controller.abort();
  };
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) source.on(name, onSignal);
  return { signal: controller.signal, received: () => received };
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
