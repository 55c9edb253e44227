// The workstation's half of bootstrap.sh: one ssh session in which the server says what it has and takes what it lacks.
import { once } from 'node:events';
import { RdcError } from '../../protocol/errors.ts';
import { AGENT_PLACE, type AgentAccess, helloOptions, openElevated } from './access.ts';
import bootstrapScript from './bootstrap.sh';
import { withDeadline } from './deadline.ts';
import { LineReader } from './line-reader.ts';
import { quoteWord } from './quote.ts';
import { explainSilence } from './remote-failure.ts';
import { Tail } from './tail.ts';
import type { SshSession } from './transport.ts';

const MARK = 'RDC1 ';
const CHUNK = 256 * 1024;
/** For one verb, uploads excepted: the self-test and the units of a slow machine. */
/** How long the end of a script that has failed is waited for, in milliseconds. */
const FAREWELL_MS = 5000;
const VERB_MS = 180_000;

export interface ServerFacts {
  /** As `uname -m` says it. */
  arch: string;
  nodes: { version: string; path: string }[];
  launcher: boolean;
  /** What `current` points to, e.g. "versions/0.1.0-1a2b3c4d". */
  current?: string;
  /** sha-256 of the current bundle. */
  bundle?: string;
}

export interface Upload {
  name: 'node' | 'renet.mjs';
  /** What a person reads while it runs. */
  title: string;
  gzip: Buffer;
  /** Of the content before compression. */
  sha256: string;
  mode: string;
}

export class BootstrapSession {
  readonly session: SshSession;
  readonly #access: AgentAccess;
  readonly #reader: LineReader;
  readonly #noise = new Tail();

  private constructor(access: AgentAccess, session: SshSession) {
    this.#access = access;
    this.session = session;
    this.#reader = new LineReader(session.stdout);
  }

  /** Throws SUDO where the user may not run a shell as root. */
  static async open(access: AgentAccess): Promise<{ bootstrap: BootstrapSession; facts: ServerFacts }> {
    const { launcher, libDir } = access.place ?? AGENT_PLACE;
    const script = Buffer.from(`lib=${quoteWord(libDir)} bin=${quoteWord(launcher)}\n${bootstrapScript}`);
    // The script comes on stdin: the words on the command line then mean the same to every login shell.
    const session = openElevated(access, ['sh', '-c', `eval "$(head -c ${script.length})"`]);
    const bootstrap = new BootstrapSession(access, session);
    session.stdin.write(script);
    return { bootstrap, facts: await bootstrap.#facts() };
  }

  async put(upload: Upload): Promise<void> {
    const { name, title, gzip, sha256, mode } = upload;
    this.#send(`put ${name} ${gzip.length} ${sha256} ${mode}`);
    await this.#answer('ready');
    const { stdin } = this.session;
    const ended = this.session.ended.then(
      () => undefined,
      () => undefined,
    );
    for (let at = 0; at < gzip.length && !stdin.destroyed; at += CHUNK) {
      const flowing = stdin.write(gzip.subarray(at, at + CHUNK));
      if (!flowing) await Promise.race([once(stdin, 'drain').catch(() => undefined), ended]);
      this.#access.report({ kind: 'transfer', title, done: Math.min(at + CHUNK, gzip.length), total: gzip.length });
    }
    await this.#answer('ok put');
  }

  async run(...words: string[]): Promise<void> {
    this.#send(words.join(' '));
    await this.#answer(`ok ${words[0]}`);
  }

  /** Hands the session over to the agent that `words` starts on the far side. */
  async handOver(...words: string[]): Promise<SshSession> {
    await this.run(...words);
    this.#reader.release();
    return this.session;
  }

  close(): void {
    this.session.close();
  }

  #send(line: string): void {
    this.session.stdin.write(`${line}\n`);
  }

  async #facts(): Promise<ServerFacts> {
    const facts: ServerFacts = { arch: '', nodes: [], launcher: false };
    const { timeoutMs } = helloOptions(this.#access, 'setup');
    for (let line = await this.#line(timeoutMs); line !== 'ok facts'; line = await this.#line(timeoutMs)) {
      const [key, first = '', second = ''] = line.split(' ');
      if (key === 'arch') facts.arch = first;
      if (key === 'node') facts.nodes.push({ version: first, path: second });
      if (key === 'launcher') facts.launcher = true;
      if (key === 'current') facts.current = first;
      if (key === 'bundle') facts.bundle = first;
    }
    return facts;
  }

  async #answer(wanted: string): Promise<void> {
    const line = await this.#line(VERB_MS);
    if (line === wanted) return;
    await this.#farewell();
    const stderr = this.session.stderrText().trim();
    const reason = line.startsWith('fail ') ? line.slice('fail '.length) : `unexpected answer "${line}"`;
    throw new RdcError('FAILED', `cannot install the agent on machine "${this.#access.target.machine}": ${reason}`, {
      hint: 'nothing was changed there',
      cause: stderr,
    });
  }

  /** The script ends by itself after a failure; only then has all of its stderr arrived. */
  async #farewell(): Promise<void> {
    this.session.stdin.end();
    this.session.stdout.resume();
    const late = () => new RdcError('UNREACHABLE', 'the session does not end');
    await withDeadline(this.session.ended, FAREWELL_MS, late).catch(() => undefined);
    this.close();
  }

  /** The next line of the script; whatever a login prints in between is kept for the case of failure. */
  async #line(ms: number): Promise<string> {
    const { target } = this.#access;
    const tooLate = () =>
      new RdcError('UNREACHABLE', `machine "${target.machine}" gave no answer within ${ms / 1000} s`, {
        cause: `${this.#noise.text()}${this.session.stderrText()}`,
      });
    try {
      return await withDeadline(this.#nextMarked(), ms, tooLate);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  async #nextMarked(): Promise<string> {
    for (let line = await this.#reader.next(); line !== undefined; line = await this.#reader.next()) {
      if (line.startsWith(MARK)) return line.slice(MARK.length);
      this.#noise.push(Buffer.from(`${line}\n`));
    }
    const { exitCode } = await this.session.ended;
    const options = helloOptions(this.#access, 'setup');
    throw explainSilence({
      ...options,
      exitCode,
      stderr: this.session.stderrText(),
      noise: this.#noise.text(),
    });
  }
}
