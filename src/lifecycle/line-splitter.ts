// Cuts a program's output into lines as it comes, per stream. What has no line end yet (a prompt, a progress line that
// is drawn over with CR) comes as a part after half a second of silence, and the rest of the line behind it. A character
// split between two chunks stays whole; bytes that are no UTF-8 come along as they are.
const LONGEST_LINE = 16_384;
const PART_AFTER_MS = 500;
const NEWLINE = 0x0a;
const CARRIAGE_RETURN = 0x0d;

export type Stream = 'stdout' | 'stderr';

export interface Line {
  stream: Stream;
  text: string;
  /** The line goes on in the next one of this stream, which is empty where only the line end was still to come. */
  partial?: true;
  /** Base64 of the bytes, where they are no UTF-8 and `text` has U+FFFD in their place. */
  raw?: string;
}

export interface LineSplitter {
  write(stream: Stream, chunk: Buffer): void;
  /** Gives out what is left. */
  end(): void;
}

/** Holds at most 16 KiB of a line: a longer one comes in parts. */
export function createLineSplitter(onLine: (line: Line) => void): LineSplitter {
  const streams = { stdout: new LineBuffer('stdout', onLine), stderr: new LineBuffer('stderr', onLine) };
  return {
    write: (stream, chunk) => streams[stream].write(chunk),
    end: () => {
      streams.stdout.end();
      streams.stderr.end();
    },
  };
}

class LineBuffer {
  readonly #stream: Stream;
  readonly #onLine: (line: Line) => void;
  #rest: Buffer = Buffer.alloc(0);
  #timer: NodeJS.Timeout | undefined;

  constructor(stream: Stream, onLine: (line: Line) => void) {
    this.#stream = stream;
    this.#onLine = onLine;
  }

  write(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let start = 0;
    for (let at = bytes.indexOf(NEWLINE, this.#rest.length); at >= 0; at = bytes.indexOf(NEWLINE, start)) {
      this.#parts(bytes.subarray(start, bytes[at - 1] === CARRIAGE_RETURN && at > start ? at - 1 : at), false);
      start = at + 1;
    }
    // A copy, so that no large chunk is kept for a short rest.
    this.#rest = Buffer.from(this.#parts(bytes.subarray(start), true));
    this.#timer ??= setTimeout(() => this.#flush(), PART_AFTER_MS);
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#rest.length > 0) this.#tell(this.#rest, false);
    this.#rest = Buffer.alloc(0);
  }

  /** Cuts off what is too long. `unfinished`: gives back the rest in place of telling it. */
  #parts(line: Buffer, unfinished: boolean): Buffer {
    let rest = line;
    while (rest.length > LONGEST_LINE) {
      const end = wholeCharacters(rest.subarray(0, LONGEST_LINE));
      this.#tell(rest.subarray(0, end), true);
      rest = rest.subarray(end);
    }
    if (!unfinished) this.#tell(rest, false);
    return rest;
  }

  #flush(): void {
    this.#timer = undefined;
    const end = wholeCharacters(this.#rest);
    if (end === 0) return;
    this.#tell(this.#rest.subarray(0, end), true);
    this.#rest = this.#rest.subarray(end);
  }

  #tell(bytes: Buffer, partial: boolean): void {
    const text = bytes.toString('utf8');
    const isFaithful = !text.includes('\uFFFD') || Buffer.from(text).equals(bytes);
    this.#onLine({
      stream: this.#stream,
      text,
      ...(partial ? { partial } : {}),
      ...(isFaithful ? {} : { raw: bytes.toString('base64') }),
    });
  }
}

/** How many bytes there are up to a character that is not complete yet (RFC 3629: at most 3 of its bytes). */
function wholeCharacters(bytes: Buffer): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back] ?? 0;
    if ((byte & 0xc0) === 0x80) continue;
    const needed = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return needed > back ? bytes.length - back : bytes.length;
  }
  return bytes.length;
}
