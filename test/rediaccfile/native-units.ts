// systemd-run without systemd: the command line that the agent makes is taken apart as systemd would, and its program
// is run with real bash in a cgroup of its own. Needs root and a cgroup2 file system; without them it throws.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { createLinuxSystem } from '../../src/agent/linux-system.ts';
import type { Command, CommandResult } from '../../src/lifecycle/command.ts';
import type { OutputSink, System } from '../../src/lifecycle/system.ts';
import { RdcError } from '../../src/protocol/errors.ts';
import { Secret } from '../../src/protocol/secret.ts';

/** Signals that systemd takes for a clean end of a service (systemd.service(5), SuccessExitStatus=). */
const CLEAN: readonly string[] = ['SIGHUP', 'SIGINT', 'SIGTERM', 'SIGPIPE'];

export interface NativeUnits extends System {
  /** Every systemd-run that was asked for. */
  calls: Command[];
}

/** `inherited`: what the manager's own environment would bring. */
export function nativeUnits(inherited: Readonly<Record<string, string>> = {}): NativeUnits {
  const linux = createLinuxSystem();
  const calls: Command[] = [];
  const run = (command: Command, onOutput?: OutputSink): Promise<CommandResult> => {
    if (command.file !== 'systemd-run') return linux.run(command, onOutput);
    calls.push(command);
    return runUnit(command, onOutput, inherited);
  };
  return { ...linux, run, calls };
}

interface End {
  result: string;
  exitCode: number;
  words: string;
}

async function runUnit(
  command: Command,
  onOutput: OutputSink | undefined,
  inherited: Readonly<Record<string, string>>,
): Promise<CommandResult> {
  const options = command.args.filter((word) => word.startsWith('--') && word.includes('='));
  const optionOf = (start: string) => options.find((word) => word.startsWith(start))?.slice(start.length);
  const settings = options.filter((word) => word.startsWith('--setenv=')).map((word) => word.slice('--setenv='.length));
  // In a PID namespace, as the unit has it, but with the files of this machine.
  const namespace = ['unshare', '--pid', '--mount-proc', '--fork', '--kill-child', '--'];
  // What reads the words (literalWords), then those behind function-init.
  const at = command.args.indexOf('/bin/sh');
  const words = [...command.args.slice(at, at + 4), ...command.args.slice(command.args.indexOf('/bin/bash'))];
  const program = [...namespace, ...words.map(expandWord)];
  const cgroup = makeCgroup();
  const join = ['--noprofile', '--norc', '-c', 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"', 'join', cgroup];
  const env = { ...inherited, ...Object.fromEntries(settings.map((text) => splitOnce(text))) };
  const child = spawn('/bin/bash', [...join, ...program], { env, stdio: 'pipe', detached: true });
  const say = (text: string) => onOutput?.('stderr', Buffer.from(`${text}\n`));
  say(`Running as unit: ${optionOf('--unit=')}`);
  child.stdout.on('data', (chunk: Buffer) => onOutput?.('stdout', chunk));
  child.stderr.on('data', (chunk: Buffer) => onOutput?.('stderr', chunk));
  child.stdin.on('error', () => undefined);
  child.stdin.end(command.stdin instanceof Secret ? command.stdin.reveal() : (command.stdin ?? ''));
  const limit = Number.parseInt(optionOf('--property=RuntimeMaxSec=') ?? '', 10);
  const end = await endOf(child, cgroup, limit);
  rmdirSync(cgroup);
  say(`Finished with result: ${end.result}\nMain processes terminated with: ${end.words}\nService runtime: 12ms`);
  if (end.exitCode === 0) return { exitCode: 0, stdout: '', stderr: '', durationMs: 0 };
  throw new RdcError('COMMAND_FAILED', 'systemd-run failed', { cause: { exitCode: end.exitCode } });
}

/** In `systemd.service(5)`: "${NAME}" is replaced, here by nothing, and "$$" is a dollar. */
function expandWord(word: string): string {
  return word.replaceAll(/\$\$|\$\{\w*\}/g, (found) => (found === '$$' ? '$' : ''));
}

function splitOnce(text: string): [string, string] {
  const at = text.indexOf('=');
  return [text.slice(0, at), text.slice(at + 1)];
}

function makeCgroup(): string {
  const roots = ['/sys/fs/cgroup/unified', '/sys/fs/cgroup'];
  const root = roots.find((path) => existsSync(`${path}/cgroup.procs`));
  if (root === undefined) throw new Error('these tests need a cgroup2 file system');
  const path = `${root}/rdc-test-${process.pid}-${Math.random().toString(36).slice(2)}`;
  mkdirSync(path);
  return path;
}

/** KillMode=control-group: when the main process has ended, SIGTERM to the others, and SIGKILL for those that stay. */
function endOf(child: ChildProcess, cgroup: string, limitMs: number): Promise<End> {
  return new Promise((resolve) => {
    let isTimeout = false;
    const timers: NodeJS.Timeout[] = [];
    const stop = () => {
      signalAll(cgroup, 'SIGTERM');
      timers.push(setTimeout(() => signalAll(cgroup, 'SIGKILL'), 1500));
    };
    if (!Number.isNaN(limitMs)) {
      timers.push(
        setTimeout(() => {
          isTimeout = true;
          stop();
        }, limitMs),
      );
    }
    child.once('exit', stop);
    child.once('close', (code, signal) => {
      const waitForEmpty = () => {
        if (membersOf(cgroup).length > 0) return void setTimeout(waitForEmpty, 10);
        for (const timer of timers) clearTimeout(timer);
        resolve(describeEnd(code, signal, isTimeout));
      };
      waitForEmpty();
    });
  });
}

function describeEnd(code: number | null, signal: string | null, isTimeout: boolean): End {
  const words = signal === null ? `code=exited/status=${code}` : `code=killed/status=${signal.replace('SIG', '')}`;
  if (isTimeout) return { result: 'timeout', exitCode: 1, words };
  if (signal !== null) {
    return CLEAN.includes(signal)
      ? { result: 'success', exitCode: 0, words }
      : { result: 'signal', exitCode: 255, words };
  }
  return { result: code === 0 ? 'success' : 'exit-code', exitCode: code ?? 1, words };
}

function membersOf(cgroup: string): number[] {
  return readFileSync(`${cgroup}/cgroup.procs`, 'utf8').split('\n').filter(Boolean).map(Number);
}

function signalAll(cgroup: string, signal: NodeJS.Signals): void {
  for (const pid of membersOf(cgroup)) {
    try {
      process.kill(pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}

/** A directory that stands for a mount, filled with files: `{'api/Rediaccfile': 'up() { :; }'}`. */
export function fillMount(files: Readonly<Record<string, string | Buffer>>): { path: string; remove(): void } {
  const path = mkdtempSync(`${tmpdir()}/rdc-mount-`);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(`${path}/${name}`.replace(/\/[^/]*$/, ''), { recursive: true });
    writeFileSync(`${path}/${name}`, text);
  }
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}
