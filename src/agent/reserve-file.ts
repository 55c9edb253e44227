// A file that takes blocks and holds nothing (fallocate(2)), to be given up where there is no room left. It may lie in a tree
// in which others write as root: it is reached by directories that are held open, so that no link of theirs leads elsewhere.
import { closeSync, constants, fsyncSync, openSync, renameSync, unlinkSync } from 'node:fs';
import { relative } from 'node:path';
import { type Command, command } from '../lifecycle/command.ts';
import { codeOf } from './linux-files.ts';

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_RDONLY, O_WRONLY } = constants;
const DIRECTORY = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;

/** `path` below `root`, whose directories exist. 0 bytes: the file goes. Throws COMMAND_FAILED without room; what was there stays then. */
export async function reserveFile(
  run: (command: Command) => Promise<unknown>,
  root: string,
  path: string,
  bytes: number,
): Promise<void> {
  const parts = relative(root, path).split('/');
  const name = parts.pop() ?? '';
  const held = [openSync(root, DIRECTORY)];
  try {
    for (const part of parts) held.push(openSync(through(held, part), DIRECTORY));
    if (bytes === 0) removeFile(through(held, name));
    else await makeFile(run, through(held, name), bytes);
    fsyncSync(held.at(-1) ?? 0);
  } finally {
    for (const directory of held) closeSync(directory);
  }
}

async function makeFile(run: (command: Command) => Promise<unknown>, path: string, bytes: number): Promise<void> {
  const unfinished = `${path}.new`;
  // Of an agent that was killed.
  removeFile(unfinished);
  const file = openSync(unfinished, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY, 0o600);
  try {
    // The very file that is held open here, whatever its name means by now (proc_pid_fd(5)).
    await run(command('fallocate', '--length', String(bytes), `/proc/${process.pid}/fd/${file}`));
    fsyncSync(file);
    renameSync(unfinished, path);
  } catch (error) {
    removeFile(unfinished);
    throw error;
  } finally {
    closeSync(file);
  }
}

function removeFile(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}

function through(held: readonly number[], name: string): string {
  return `/proc/self/fd/${held.at(-1)}/${name}`;
}
