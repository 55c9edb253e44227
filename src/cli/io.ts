// Where words go. Data goes to stdout, talk to stderr; with --json stdout carries one document and nothing else.
// Colour and a live line only on a terminal; -q silences talk, never warnings or errors.
import pc from 'picocolors';

export interface OutStream extends NodeJS.WritableStream {
  isTTY?: boolean;
  columns?: number;
}

export interface Streams {
  stdin: NodeJS.ReadableStream & { isTTY?: boolean };
  stdout: OutStream;
  stderr: OutStream;
}

export interface IoOptions {
  json: boolean;
  quiet: boolean;
  verbose: boolean;
  color: boolean;
}

export type Paint = ReturnType<typeof pc.createColors>;

export interface Io extends IoOptions {
  streams: Streams;
  /** Colours for stdout and for stderr: each is a terminal or not. */
  paintOut: Paint;
  paintErr: Paint;
  /** stderr can show a line that changes. */
  live: boolean;
  /** A person can be asked: stdin and stderr are terminals. */
  canAsk: boolean;
  /** stdout is read by a person and not by a program. */
  stdoutIsTerminal: boolean;
  /** One or more lines of data. Nothing under --json. */
  print(text: string): void;
  /** The one document of --json; nothing without it. */
  printJson(document: unknown): void;
  /** Talk. */
  say(text: string): void;
  /** Shown under -q too. */
  warn(message: string, hint?: string): void;
}

export function createIo(streams: Streams, options: IoOptions, env: NodeJS.ProcessEnv): Io {
  const { stdin, stdout, stderr } = streams;
  const dumb = env.TERM === 'dumb';
  const paint = (stream: OutStream) =>
    pc.createColors(options.color && stream.isTTY === true && !dumb && (env.NO_COLOR ?? '') === '');
  const paintOut = paint(stdout);
  const paintErr = paint(stderr);
  const write = (stream: OutStream, text: string) =>
    stream.write(`${safeText(text, (stream === stdout ? paintOut : paintErr).isColorSupported)}\n`);
  return {
    ...options,
    streams,
    paintOut,
    paintErr,
    live: stderr.isTTY === true && !dumb && !options.quiet,
    canAsk: stdin.isTTY === true && stderr.isTTY === true,
    stdoutIsTerminal: stdout.isTTY === true,
    print(text) {
      if (!options.json) write(stdout, text);
    },
    printJson(document) {
      if (options.json) stdout.write(`${escapeControls(JSON.stringify(document, null, 2))}\n`);
    },
    say(text) {
      if (!options.quiet) write(stderr, text);
    },
    warn(message, hint) {
      write(stderr, `${paintErr.yellow('warning:')} ${message}${hint === undefined ? '' : `\n  hint: ${hint}`}`);
    },
  };
}

/** What a foreign program wrote, safe to show: one line, no cursor games; colours only where we would use them too. */
export function cleanLine(text: string, keepColours: boolean): string {
  // A progress bar rewrites its line: what stands at the end is what a person would see.
  const visible = text.replace(/\r+$/, '').split('\r').at(-1) ?? '';
  const safe = safeText(visible, keepColours);
  return keepColours && SGR_SEQUENCE.test(visible) ? `${safe}\u001b[0m` : safe;
}

/** Whatever is written: names, reasons and errors come from servers, and none of them may move the cursor or more. */
export function safeText(text: string, keepColours: boolean): string {
  if (!keepColours) return stripControls(stripEscapes(text));
  const parts = text.split(SGR_SEQUENCE);
  return parts.map((part) => (SGR_ONLY.test(part) ? part : stripControls(stripEscapes(part)))).join('');
}

/** JSON leaves DEL and the C1 controls, which terminals obey, as they are. */
function escapeControls(json: string): string {
  const escaped = (char: string) => (char < ' ' ? char : `\\u00${char.charCodeAt(0).toString(16)}`);
  return json.replace(/\p{Cc}/gu, escaped);
}

// ECMA-48: control sequences, control strings with their end, then the short escapes. Node's own
// stripVTControlCharacters takes "ESC [ H text BEL" for one string and swallows the text.
const ESCAPE = '\u001b';
const ESCAPES = new RegExp(
  `${ESCAPE}(?:\\[[0-?]*[ -/]*[@-~]|[\\]PX^_][^\\u0007${ESCAPE}]*(?:\\u0007|${ESCAPE}\\\\)?|[ -/]*[0-~])`,
  'g',
);

function stripEscapes(text: string): string {
  return text.replace(ESCAPES, '');
}

const SGR = '\u001b\\[[0-9;]*m';
const SGR_SEQUENCE = new RegExp(`(${SGR})`);
const SGR_ONLY = new RegExp(`^${SGR}$`);

/** C0 but tab and line feed, DEL, and C1: U+009B begins a control sequence as ESC [ does. */
function stripControls(text: string): string {
  return text.replace(/\p{Cc}/gu, (char) => (char === '\t' || char === '\n' ? char : ''));
}
