// The .env beside a Rediaccfile, read as compose reads it (compose-go, dotenv/parser.go). Pure. Its values are secrets:
// no message here holds one, nor the line that it stands in.
import { RdcError } from '../protocol/errors.ts';
import { expandEscapes, substitute } from './env-value.ts';

export interface EnvFile {
  path: string;
  text: string;
  /** What `$NAME` is looked up in before the lines above it. */
  environment: Readonly<Record<string, string>>;
}

export interface Setting {
  name: string;
  value: string;
  /** Counted from 1. */
  line: number;
}

/** In the order of the file, the last one of a name counts. Throws INVALID_INPUT with path and line, after those before it. */
export function* parseEnvFile(file: EnvFile): Generator<Setting> {
  const reader = new Reader(file);
  const known = new Map<string, string>();
  for (let setting = reader.next(known); setting !== undefined; setting = reader.next(known)) {
    known.set(setting.name, setting.value);
    yield setting;
  }
}

/** Go's unicode.IsSpace without the line end. */
const BLANK = /[\t\v\f\r \u0085\u00a0]/;
const NAME_CHARACTER = /[\p{L}\p{N}_.\-[\]]/u;

class Reader {
  readonly #file: EnvFile;
  readonly #text: string;
  #at = 0;

  constructor(file: EnvFile) {
    this.#file = file;
    this.#text = file.text.replace(/^\uFEFF/, '');
    const strange = this.#text.search(/[\0\uFFFD]/);
    if (strange >= 0) throw this.#fault(strange, 'is no text in UTF-8');
  }

  /** undefined at the end. A name alone takes its value from the environment, where it is already: it sets nothing. */
  next(known: ReadonlyMap<string, string>): Setting | undefined {
    for (;;) {
      this.#skip(/\s/);
      if (this.#at >= this.#text.length) return undefined;
      if (this.#peek() === '#') {
        this.#at = this.#lineEnd();
        continue;
      }
      const start = this.#at;
      const name = this.#name();
      if (name === undefined) continue;
      const value = this.#value(start, known);
      return { name, value, line: this.#lineOf(start) };
    }
  }

  /** Behind its "=" or ":". undefined: a name alone on its line. */
  #name(): string | undefined {
    const start = this.#at;
    const exported = /^export\s+/.exec(this.#text.slice(start, start + 64));
    if (exported !== null) {
      this.#at += 'export'.length;
      this.#skip(BLANK);
    }
    const from = this.#at;
    for (; this.#at < this.#text.length; this.#at++) {
      const character = String.fromCodePoint(this.#text.codePointAt(this.#at) ?? 0);
      if (character === '=' || character === ':' || character === '\n') {
        const name = this.#text.slice(from, this.#at).trimEnd();
        this.#at += 1;
        if (/\s/.test(name)) throw this.#fault(start, 'has a name with a space in it');
        if (character === '\n') return undefined;
        if (name === '') throw this.#fault(start, 'has no name before its value');
        return name;
      }
      if (BLANK.test(character)) continue;
      if (!NAME_CHARACTER.test(character))
        throw this.#fault(start, 'has a name with a character that no name may have');
      this.#at += character.length - 1;
    }
    throw this.#fault(start, 'ends with a name that has no value');
  }

  #value(start: number, known: ReadonlyMap<string, string>): string {
    this.#skip(BLANK);
    const quote = this.#peek();
    if (quote === '"' || quote === "'") {
      const inside = this.#quoted(quote);
      return quote === "'" ? inside : this.#expand(start, expandEscapes(inside), known);
    }
    const end = this.#lineEnd();
    const [value = ''] = this.#text.slice(this.#at, end).split(' #', 1);
    this.#at = end;
    return this.#expand(start, value.trimEnd(), known);
  }

  /** A backslash before the quote keeps it, and is itself kept before anything else. */
  #quoted(quote: string): string {
    const start = this.#at;
    let value = '';
    for (this.#at += 1; this.#at < this.#text.length; this.#at++) {
      const character = this.#text[this.#at] ?? '';
      if (character === quote) {
        this.#at += 1;
        return value;
      }
      if (character !== '\\') {
        value += character;
        continue;
      }
      const following = this.#text[this.#at + 1];
      if (following === undefined) break;
      value += following === quote ? quote : `\\${following}`;
      this.#at += 1;
    }
    throw this.#fault(start, `has a value whose ${quote} is never closed`);
  }

  #expand(start: number, value: string, known: ReadonlyMap<string, string>): string {
    const { environment } = this.#file;
    const found = substitute(value, (name) => (Object.hasOwn(environment, name) ? environment[name] : known.get(name)));
    if ('value' in found) return found.value;
    throw this.#fault(start, found.fault);
  }

  #peek(): string | undefined {
    return this.#text[this.#at];
  }

  #skip(what: RegExp): void {
    while (this.#at < this.#text.length && what.test(this.#text[this.#at] ?? '')) this.#at += 1;
  }

  #lineEnd(): number {
    const end = this.#text.indexOf('\n', this.#at);
    return end < 0 ? this.#text.length : end;
  }

  #lineOf(at: number): number {
    return this.#text.slice(0, at).split('\n').length;
  }

  #fault(at: number, what: string): RdcError {
    return new RdcError('INVALID_INPUT', `${this.#file.path}: line ${this.#lineOf(at)} ${what}`);
  }
}
