// Cuts a program's output into lines as it comes, per stream; a last line without its end comes at the end. A
// character split between two chunks stays whole, a line without end is cut at a bound.
import { StringDecoder } from 'node:string_decoder';

const LONGEST_LINE = 16_384;

export interface LineSplitter {
  write(stream: 'stdout' | 'stderr', chunk: Buffer): void;
  /** Gives out what is left. */
  end(): void;
}

export function createLineSplitter(onLine: (stream: 'stdout' | 'stderr', text: string) => void): LineSplitter {
  const states = {
    stdout: { decoder: new StringDecoder('utf8'), rest: '' },
    stderr: { decoder: new StringDecoder('utf8'), rest: '' },
  };
  const take = (stream: 'stdout' | 'stderr', text: string) => {
    const state = states[stream];
    const parts = (state.rest + text).split('\n');
    state.rest = parts.pop() ?? '';
    for (const part of parts) onLine(stream, part.replace(/\r$/, ''));
    while (state.rest.length > LONGEST_LINE) {
      onLine(stream, state.rest.slice(0, LONGEST_LINE));
      state.rest = state.rest.slice(LONGEST_LINE);
    }
  };
  return {
    write: (stream, chunk) => take(stream, states[stream].decoder.write(chunk)),
    end: () => {
      for (const stream of ['stdout', 'stderr'] as const) {
        take(stream, states[stream].decoder.end());
        if (states[stream].rest !== '') onLine(stream, states[stream].rest);
        states[stream].rest = '';
      }
    },
  };
}
