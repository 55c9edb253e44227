// Output comes in lines, and in parts of lines: a prompt, a line that is very long. Here the parts of one line are put
// together again, for those who show lines.
import type { RunEvent } from '../protocol/events.ts';

export type OutputEvent = Extract<RunEvent, { kind: 'output' }>;

export interface SourcedLine {
  source: string;
  text: string;
}

export interface OutputLines {
  /** The line that is whole with this event; undefined: it goes on. */
  take(event: OutputEvent): SourcedLine | undefined;
  /** What has come so far of the line that `event` belongs to. */
  begun(event: OutputEvent): string;
  /** Lines that never came to their end: of one source, or of all. They are not held any more. */
  rest(source?: string): SourcedLine[];
}

/** A line without end must not fill memory: from here on it is shown in pieces. */
const LONGEST_LINE = 1024 ** 2;

export function createOutputLines(): OutputLines {
  const open = new Map<string, SourcedLine>();
  const keyOf = ({ source, stream }: OutputEvent) => `${stream} ${source}`;
  return {
    take(event) {
      const key = keyOf(event);
      const line = { source: event.source, text: `${open.get(key)?.text ?? ''}${event.text}` };
      if (event.partial === true && line.text.length < LONGEST_LINE) {
        open.set(key, line);
        return undefined;
      }
      open.delete(key);
      return line;
    },
    begun: (event) => open.get(keyOf(event))?.text ?? '',
    rest(source) {
      const lines = [...open].filter(([, line]) => source === undefined || line.source === source);
      for (const [key] of lines) open.delete(key);
      return lines.map(([, line]) => line);
    },
  };
}
