// Where in a JSON text something stands, so that an error can name the line. JSON.parse tells the place of an error in
// some of its messages only, and never the place of a value.

export interface JsonPlaces {
  /** Offset of the first character that cannot stand there; absent for valid JSON. */
  errorAt?: number;
  /** Offset of each value by its path, e.g. "contexts.production.ssh". */
  values: Map<string, number>;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: RFC 8259 forbids exactly these in a string
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const SCALAR = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;
const SPACE = /[ \t\r\n]*/y;

export function jsonPlaces(text: string): JsonPlaces {
  const scan = new Scan(text);
  const complete = scan.value([]) && scan.atEnd();
  return complete ? { values: scan.values } : { errorAt: scan.at, values: scan.values };
}

/** 1 for the first line. */
export function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length;
}

/** Walks the grammar of RFC 8259; each method is true when its part is there, and `at` stays at the trouble when not. */
class Scan {
  readonly values = new Map<string, number>();
  readonly #text: string;
  at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  value(path: readonly string[]): boolean {
    this.#take(SPACE);
    this.values.set(path.join('.'), this.at);
    if (this.#is('{')) return this.#list('}', () => this.#member(path));
    if (this.#is('[')) return this.#list(']', (index) => this.value([...path, String(index)]));
    return this.#take(STRING) !== undefined || this.#take(SCALAR) !== undefined;
  }

  atEnd(): boolean {
    this.#take(SPACE);
    return this.at === this.#text.length;
  }

  #member(path: readonly string[]): boolean {
    const key = this.#take(STRING);
    if (key === undefined) return false;
    return this.#is(':') && this.value([...path, JSON.parse(key) as string]);
  }

  #list(end: string, item: (index: number) => boolean): boolean {
    if (this.#is(end)) return true;
    for (let index = 0; ; index++) {
      this.#take(SPACE);
      if (!item(index)) return false;
      if (this.#is(end)) return true;
      if (!this.#is(',')) return false;
    }
  }

  #is(char: string): boolean {
    this.#take(SPACE);
    if (this.#text[this.at] !== char) return false;
    this.at++;
    return true;
  }

  #take(pattern: RegExp): string | undefined {
    const sticky = new RegExp(pattern, 'y');
    sticky.lastIndex = this.at;
    const found = sticky.exec(this.#text)?.[0];
    if (found !== undefined) this.at += found.length;
    return found;
  }
}
