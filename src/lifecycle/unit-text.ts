// Drop-in texts for systemd units, quoted by systemd's own rules (systemd.syntax(7), systemd.service(5)). Pure.
import type { Command } from './command.ts';

/** One section per key, one line per entry: `[["Service", [["ExecStart", "…"]]]]`. */
export type UnitSections = readonly (readonly [
  section: string,
  lines: readonly (readonly [key: string, value: string])[],
])[];

export function unitText(sections: UnitSections): string {
  return sections
    .filter(([, lines]) => lines.length > 0)
    .map(([section, lines]) => [`[${section}]`, ...lines.map(([key, value]) => `${key}=${value}`), ''].join('\n'))
    .join('\n');
}

/** An Exec line. `tolerant`: a failure does not fail the unit (the "-" prefix). */
export function execLine({ file, args }: Pick<Command, 'file' | 'args'>, tolerant = false): string {
  return `${tolerant ? '-' : ''}${[file, ...args].map(quoteExecWord).join(' ')}`;
}

/** "%" starts a specifier and "$" a variable in Exec lines: both are doubled; an end of line would end the setting. */
export function quoteExecWord(word: string): string {
  const literal = word.replaceAll('%', '%%').replaceAll('$', '$$$$');
  if (/^[\w@%+=:,./$-]+$/.test(literal)) return literal;
  return `"${literal.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`;
}

/** For systemd-run: it replaces ${NAME} and $$ in the words of a transient unit as well, and leaves "%" alone. */
export function literalWord(word: string): string {
  return word.replaceAll('$', '$$$$');
}
