// A System whose commands are answered by one function, for tests of what is decided and in which order. Files are
// a map. Time stands still unless somebody sleeps.
import type { Command, CommandResult } from '../../src/lifecycle/command.ts';
import type { OutputSink, System } from '../../src/lifecycle/system.ts';
import { RdcError } from '../../src/protocol/errors.ts';
import { AMPLE } from './space.ts';

export interface Answer {
  exitCode?: number;
  stdout?: string;
  stderr?: string;
}

export interface ScriptedSystem extends System {
  files: Map<string, string>;
  commands: Command[];
}

export function scriptedSystem(
  answer: (command: Command) => Answer,
  files: Record<string, string> = {},
): ScriptedSystem {
  const contents = new Map(Object.entries(files));
  const commands: Command[] = [];
  let clock = 0;
  const children = (path: string) => {
    const prefix = path.endsWith('/') ? path : `${path}/`;
    const below = [...contents.keys()]
      .filter((name) => name.startsWith(prefix))
      .map((name) => name.slice(prefix.length).split('/')[0] ?? '');
    return [...new Set(below)].sort();
  };
  return {
    files: contents,
    commands,
    async run(command: Command, onOutput?: OutputSink): Promise<CommandResult> {
      commands.push(command);
      const { exitCode = 0, stdout = '', stderr = '' } = answer(command);
      if (stdout !== '') onOutput?.('stdout', Buffer.from(stdout));
      if (stderr !== '') onOutput?.('stderr', Buffer.from(stderr));
      const result = { exitCode, stdout, stderr, durationMs: 0 };
      if (exitCode === 0 || command.allow?.includes(exitCode)) return result;
      throw new RdcError('COMMAND_FAILED', `"${command.file}" failed`, { cause: result });
    },
    async readFile(path) {
      return contents.get(path);
    },
    async readInside(_, path) {
      const text = contents.get(path);
      return text === undefined ? { refused: 'absent' } : { text };
    },
    async writeFile(path, text) {
      contents.set(path, text);
    },
    async remove(path) {
      contents.delete(path);
    },
    async makeDirectory() {
      return undefined;
    },
    async reserve() {
      return undefined;
    },
    async list(path) {
      const names = children(path);
      return names.length === 0 ? undefined : names;
    },
    async stat(path) {
      const shape = { sizeBytes: 0, allocatedBytes: 0, mode: 0o600, uid: 0, gid: 0 };
      const text = contents.get(path);
      if (text !== undefined) return { ...shape, kind: 'file' as const, sizeBytes: text.length };
      return children(path).length > 0 ? { ...shape, kind: 'directory' as const } : undefined;
    },
    space: async () => AMPLE,
    now: () => clock,
    async sleep(ms) {
      clock += ms;
    },
  };
}
