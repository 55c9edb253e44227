// Two ways to show work on stderr: on a terminal finished lines with a changing part below them, elsewhere plain lines.
import { type OutStream, safeText } from './io.ts';

export interface Screen {
  /** A line that stays. */
  line(text: string): void;
  /** The changing part; empty: nothing. Ignored where nothing can change. */
  status(lines: readonly string[]): void;
  close(): void;
}

/** log-update needs a moment to load: only terminals pay for it. */
export async function openScreen(stderr: OutStream, live: boolean): Promise<Screen> {
  // Colours that are not wanted were never painted.
  const write = (text: string) => void stderr.write(`${safeText(text, true)}\n`);
  if (!live) return { line: write, status: () => undefined, close: () => undefined };
  const { createLogUpdate } = await import('log-update');
  const update = createLogUpdate(stderr);
  let shown = false;
  const clear = () => {
    if (shown) update.clear();
    shown = false;
  };
  return {
    line(text) {
      clear();
      write(text);
    },
    status(lines) {
      if (lines.length === 0) return clear();
      shown = true;
      update(safeText(lines.join('\n'), true));
    },
    close() {
      clear();
      update.done();
    },
  };
}
