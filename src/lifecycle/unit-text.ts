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

/** Puts `\0044` and `\0134` back (printf(1p), %b) and becomes what the words say. */
const READ_WORDS = `for word do
  shift
  case $word in *\\\\*) word=$(printf %b. "$word"); word=\${word%.} ;; esac
  set -- "$@" "$word"
done
exec "$@"`;

/**
 * A command for systemd-run, every word taken as it is. By itself systemd replaces ${NAME} and $$ in the words of a transient unit;
 * where it reads its units again before the unit has begun (daemon-reload, at any moment, by anybody), it does not, and a dollar
 * that was doubled stays doubled (systemd 257; --expand-environment=no came with 254). So no word has a dollar in it.
 */
export function literalWords(words: readonly string[]): string[] {
  const read = ['eval "`printf %b ', `'${octal(READ_WORDS)}'`, '`"'].join('');
  return ['/bin/sh', '-c', read, 'words', ...words.map((word) => word.replace(/[\\$]/g, octal))];
}

/** As `printf %b` reads it, also in quotes and in backquotes. */
function octal(text: string): string {
  return text.replace(/[$\\"'`]/g, (character) => `\\0${character.charCodeAt(0).toString(8).padStart(3, '0')}`);
}
