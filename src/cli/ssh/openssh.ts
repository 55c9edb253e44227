// The system's own ssh, so that everything a person has set up for it works: config, agents, hardware keys, jumps.
import { type ChildProcessByStdio, type SpawnOptionsWithStdioTuple, spawn } from 'node:child_process';
import { accessSync, constants, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { RdcError } from '../../protocol/errors.ts';
import { checkTarget } from './check-target.ts';
import { classifyOpenSshEnd, connectionLost, passphraseNeeded } from './failure.ts';
import { isEncryptedKey } from './key-file.ts';
import { knownHostsText, type OpenSshFiles, openSshArguments } from './openssh-args.ts';
import { Tail } from './tail.ts';
import type { SessionOptions, SshSession, SshTarget, SshTransport } from './transport.ts';

/** ssh's one exit code for failures of its own; a remote command may end with it too. */
const SSH_FAILED = 255;
const KILL_AFTER_MS = 2000;

type SshProcess = ChildProcessByStdio<Writable, Readable, Readable>;

/** `program` is the path of the ssh to run. */
export function openSshTransport(program: string): SshTransport {
  return { name: 'openssh', open: (target, argv, options) => openSession(program, target, argv, options ?? {}) };
}

function openSession(program: string, target: SshTarget, argv: readonly string[], options: SessionOptions): SshSession {
  checkExecutable(program);
  checkTarget(target);
  const directory = mkdtempSync(join(tmpdir(), 'rdc-ssh-'));
  const files = { knownHosts: join(directory, 'known_hosts'), log: join(directory, 'log') };
  const remove = () => rmSync(directory, { recursive: true, force: true });
  process.once('exit', remove);
  const forget = () => {
    process.off('exit', remove);
    remove();
  };
  try {
    const args = openSshArguments(target, argv, files, { tty: options.tty === true });
    writeFileSync(files.knownHosts, knownHostsText(target), { mode: 0o600 });
    return new OpenSshSession(target, spawnSsh(program, args), { files, forget, options });
  } catch (error) {
    forget();
    throw error;
  }
}

/** Ctrl-C is rdc's to answer: a signal from the terminal must not end the session before rdc has said goodbye. */
function spawnSsh(program: string, args: readonly string[]): SshProcess {
  const options: SpawnOptionsWithStdioTuple<'pipe', 'pipe', 'pipe'> = { stdio: ['pipe', 'pipe', 'pipe'] };
  if (process.platform === 'win32') return spawn(program, args, { ...options, windowsHide: true });
  return spawn('/bin/sh', ['-c', 'trap "" INT; exec "$0" "$@"', program, ...args], options);
}

interface SessionResources {
  files: OpenSshFiles;
  forget: () => void;
  options: SessionOptions;
}

class OpenSshSession implements SshSession {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly ended: Promise<{ exitCode: number }>;
  readonly #child: SshProcess;
  readonly #stderr = new Tail();
  #log = '';
  #closed = false;

  constructor(target: SshTarget, child: SshProcess, { files, forget, options }: SessionResources) {
    this.#child = child;
    this.stdin = child.stdin;
    this.stdout = child.stdout;
    // A write after the far end is gone: `ended` says so better.
    this.stdin.on('error', () => undefined);
    child.stderr.on('data', (chunk: Buffer) => this.#stderr.push(chunk));
    const { signal, tty } = options;
    const close = () => this.close();
    signal?.addEventListener('abort', close, { once: true });
    this.ended = this.#end(target, files, tty === true).finally(() => {
      signal?.removeEventListener('abort', close);
      forget();
    });
    this.ended.catch(() => undefined);
    if (signal?.aborted === true) this.close();
  }

  stderrText(): string {
    return this.#stderr.text() + this.#log;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), KILL_AFTER_MS);
    timer.unref();
    this.#child.once('exit', () => clearTimeout(timer));
    this.stdin.destroy();
    this.stdout.destroy();
  }

  async #end(target: SshTarget, files: OpenSshFiles, tty: boolean): Promise<{ exitCode: number }> {
    const { code, killed } = await exitOf(this.#child);
    const exitCode = code ?? SSH_FAILED;
    this.#log = readLog(files.log);
    if (this.#closed) return { exitCode };
    if (killed) throw connectionLost(target, 'ssh was killed');
    const lostAfterStart = /^Connection to .* closed by remote host\.\s*$/m.test(this.#stderr.text());
    if (exitCode !== SSH_FAILED || (this.#log === '' && !lostAfterStart)) return { exitCode };
    if (this.#log === '') throw connectionLost(target, this.#stderr.text());
    const began = lostAfterStart || (this.stdout instanceof Socket && this.stdout.bytesRead > 0);
    const error = classifyOpenSshEnd(target, { log: this.#log, stderr: this.#stderr.text(), began });
    if (error.code === 'SSH_LOGIN' && !tty && (await isEncryptedKey(target.identityFile))) {
      throw passphraseNeeded(target, target.identityFile ?? '', error);
    }
    throw error;
  }
}

/** How ssh ended, once its stderr is complete too. */
function exitOf(child: SshProcess): Promise<{ code: number | null; killed: boolean }> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      const done = () => resolve({ code, killed: signal !== null });
      if (child.stderr.closed) return done();
      // A child of ssh (a ProxyCommand) may hold stderr open for longer than anybody wants to wait.
      const timer = setTimeout(done, 500);
      child.stderr.once('close', () => {
        clearTimeout(timer);
        done();
      });
    });
  });
}

function readLog(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'ENOENT' ? '' : String(error);
  }
}

function checkExecutable(program: string): void {
  try {
    accessSync(program, constants.X_OK);
  } catch (cause) {
    throw new RdcError('TOOL_MISSING', `cannot run ${program}`, { hint: 'apt-get install openssh-client', cause });
  }
}
