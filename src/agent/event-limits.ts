// How large one event and the log of one run may become, so that no output, however long, fills memory or disk.
import type { RunEvent } from '../protocol/events.ts';

/** Of one run on disk, enough for 50 MB of lines as programs write them; steps and warnings are kept beyond it. */
export const MOST_LOG_BYTES = 256 * 1024 ** 2;
/** Characters of one output event. */
export const LONGEST_TEXT = 32 * 1024;

/** The event itself, or several parts of its line in its place where its output is long. */
export function splitEvent(event: RunEvent): RunEvent[] {
  if (event.kind !== 'output' || event.text.length <= LONGEST_TEXT) return [event];
  const parts: RunEvent[] = [];
  for (let at = 0; at < event.text.length; ) {
    const end = cutBefore(event.text, at + LONGEST_TEXT);
    const text = event.text.slice(at, end);
    parts.push(end < event.text.length ? { ...event, text, partial: true } : { ...event, text });
    at = end;
  }
  return parts;
}

/** Not between the two halves of one character (UTF-16 surrogates). */
function cutBefore(text: string, end: number): number {
  const code = text.charCodeAt(end - 1);
  return end < text.length && code >= 0xd800 && code <= 0xdbff ? end - 1 : end;
}
