// The model machine: files, a clock and a table of programs that are interpreted over them. A program without a model
// is an error of the test, never a silent success.
import type { Command, CommandResult } from '../../src/lifecycle/command.ts';
import { describeCommand } from '../../src/lifecycle/command.ts';
import type { Space } from '../../src/lifecycle/space.ts';
import type { FileStat, InsideRead, OutputSink, System } from '../../src/lifecycle/system.ts';
import { RdcError } from '../../src/protocol/errors.ts';
import { Secret } from '../../src/protocol/secret.ts';
import { AMPLE } from './space.ts';

export interface FakeNode {
  kind: FileStat['kind'];
  text: string;
  mode: number;
  uid: number;
  gid: number;
  /** Where a file is larger than its text, e.g. an image. */
  sizeBytes?: number;
}

export interface FakeCall {
  machine: FakeSystem;
  args: readonly string[];
  stdin: string;
  command: Command;
}

/** What a program answers; a bare string is its stdout. */
export type FakeAnswer = string | { exitCode?: number; stdout?: string; stderr?: string };
export type FakeProgram = (call: FakeCall) => FakeAnswer | Promise<FakeAnswer>;

/** Thrown by `crashAfter`: the machine stopped before the action. */
export class Crash extends Error {}

export class FakeSystem implements System {
  readonly nodes = new Map<string, FakeNode>();
  readonly programs = new Map<string, FakeProgram>(Object.entries(COREUTILS));
  /** Every change and every program run, in order: "write /etc/x", "run modprobe loop". */
  readonly journal: string[] = [];
  /** Actions that may still happen before a Crash is thrown. */
  crashAfter = Number.POSITIVE_INFINITY;
  clockMs = 0;
  /** By path; others have ample space. */
  readonly spaces = new Map<string, Space>();

  file(path: string, text = '', mode = 0o644): this {
    this.#parents(path);
    this.nodes.set(path, { kind: 'file', text, mode, uid: 0, gid: 0 });
    return this;
  }

  directory(path: string, mode = 0o755): this {
    this.#parents(path);
    this.nodes.set(path, { kind: 'directory', text: '', mode, uid: 0, gid: 0 });
    return this;
  }

  program(name: string, model: FakeProgram): this {
    this.programs.set(name, model);
    return this;
  }

  /** Files and directories at and below a path, as "mode path", for comparing end states. */
  tree(root: string): string[] {
    return [...this.nodes]
      .filter(([path]) => path === root || path.startsWith(`${root}/`))
      .map(([path, { kind, mode, text }]) => `${mode.toString(8)} ${kind} ${path} ${text}`)
      .sort();
  }

  async run(command: Command, onOutput?: OutputSink): Promise<CommandResult> {
    const name = command.file.slice(command.file.lastIndexOf('/') + 1);
    const model = this.programs.get(name);
    if (model === undefined) throw new Error(`no model for "${describeCommand(command)}"`);
    this.#act(`run ${describeCommand(command)}`);
    const stdin = command.stdin instanceof Secret ? command.stdin.reveal() : (command.stdin ?? '');
    const answer = await model({ machine: this, args: command.args, stdin, command });
    const { exitCode = 0, stdout = '', stderr = '' } = typeof answer === 'string' ? { stdout: answer } : answer;
    if (stdout !== '') onOutput?.('stdout', Buffer.from(stdout));
    if (stderr !== '') onOutput?.('stderr', Buffer.from(stderr));
    if (exitCode !== 0 && !(command.allow ?? []).includes(exitCode)) {
      throw new RdcError('COMMAND_FAILED', `${describeCommand(command)} failed with exit code ${exitCode}`, {
        cause: Object.assign(new Error(stderr), { exitCode, stderr }),
      });
    }
    return { exitCode, stdout, stderr, durationMs: 0 };
  }

  async readFile(path: string): Promise<string | undefined> {
    const node = this.nodes.get(path);
    return node === undefined || node.kind === 'directory' ? undefined : node.text;
  }

  /** A model symlink has its target as text. */
  async readInside(root: string, path: string, maxBytes: number): Promise<InsideRead> {
    if (path !== root && !path.startsWith(`${root}/`)) return { refused: 'outside' };
    const node = this.nodes.get(path);
    if (node === undefined) return { refused: 'absent' };
    if (node.kind === 'symlink') return this.readInside(root, node.text, maxBytes);
    if (node.kind !== 'file') return { refused: 'unreadable' };
    return (node.sizeBytes ?? Buffer.byteLength(node.text)) > maxBytes ? { refused: 'too-large' } : { text: node.text };
  }

  async writeFile(path: string, text: string, mode: number): Promise<void> {
    this.#act(`write ${path}`);
    this.file(path, text, mode);
  }

  async remove(path: string): Promise<void> {
    this.#act(`remove ${path}`);
    if (this.#children(path).length > 0) {
      throw Object.assign(new Error(`ENOTEMPTY: directory not empty: ${path}`), { code: 'ENOTEMPTY' });
    }
    this.nodes.delete(path);
  }

  async makeDirectory(path: string, mode: number): Promise<void> {
    this.#act(`make directory ${path}`);
    if (!this.nodes.has(path)) this.directory(path, mode);
  }

  async reserve(_root: string, path: string, bytes: number): Promise<void> {
    this.#act(`reserve ${bytes} in ${path}`);
    if (bytes === 0) this.nodes.delete(path);
    else Object.assign(this.file(path, '', 0o600).nodes.get(path) ?? {}, { sizeBytes: bytes });
  }

  async list(path: string): Promise<string[] | undefined> {
    if (this.nodes.get(path)?.kind !== 'directory') return undefined;
    return this.#children(path).sort();
  }

  async stat(path: string): Promise<FileStat | undefined> {
    const node = this.nodes.get(path);
    if (node === undefined) return undefined;
    const sizeBytes = node.sizeBytes ?? Buffer.byteLength(node.text);
    return { kind: node.kind, sizeBytes, allocatedBytes: sizeBytes, mode: node.mode, uid: node.uid, gid: node.gid };
  }

  async space(path: string): Promise<Space | undefined> {
    return this.spaces.get(path) ?? AMPLE;
  }

  now(): number {
    return this.clockMs;
  }

  async sleep(ms: number): Promise<void> {
    this.clockMs += ms;
  }

  #act(what: string): void {
    if (this.crashAfter <= 0) throw new Crash(what);
    this.crashAfter -= 1;
    this.journal.push(what);
  }

  #parents(path: string): void {
    for (let at = path.lastIndexOf('/'); at > 0; at = path.lastIndexOf('/', at - 1)) {
      const parent = path.slice(0, at);
      if (!this.nodes.has(parent)) {
        this.nodes.set(parent, { kind: 'directory', text: '', mode: 0o755, uid: 0, gid: 0 });
      }
    }
  }

  #children(path: string): string[] {
    const prefix = `${path}/`;
    return [...this.nodes.keys()]
      .filter((name) => name.startsWith(prefix) && !name.slice(prefix.length).includes('/'))
      .map((name) => name.slice(prefix.length));
  }
}

/** Programs that only move files about. */
const COREUTILS: Record<string, FakeProgram> = {
  install: ({ machine, args }) => {
    const mode = Number.parseInt(args[args.indexOf('-m') + 1] ?? '755', 8);
    const path = args.at(-1) ?? '';
    if (args.includes('-d')) machine.directory(path, mode);
    else machine.file(path, machine.nodes.get(args.at(-2) ?? '')?.text ?? '', mode);
    return '';
  },
  mv: ({ machine, args }) => {
    const [from = '', to = ''] = args.filter((word) => !word.startsWith('-'));
    const node = machine.nodes.get(from);
    if (node === undefined) return { exitCode: 1, stderr: `mv: cannot stat '${from}'` };
    machine.nodes.delete(from);
    machine.nodes.set(to, node);
    return '';
  },
  sync: () => '',
  rm: ({ machine, args }) => {
    for (const path of args.filter((word) => !word.startsWith('-'))) machine.nodes.delete(path);
    return '';
  },
};
