// The remote side of ssh is always a login shell, so words have to be quoted once, here, and nowhere else.

const PLAIN = /^[A-Za-z0-9_@%+:,./-]+$/;

/** One word for a POSIX shell; also read as one word by fish and tcsh unless it holds a quote, a backslash or a line break. */
export function quoteWord(word: string): string {
  return PLAIN.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

export function quoteCommand(words: readonly string[]): string {
  return words.map(quoteWord).join(' ');
}
