// A file that takes blocks and holds nothing (fallocate(2)), to be given up where there is no room left. It may lie in a tree
// in which others write as root: it is reached by directories that are held open, so that no link of theirs leads elsewhere.
import { constants } from 'node:fs';
import { type FileHandle, open, rename, unlink } from 'node:fs/promises';
import { relative } from 'node:path';
import { type Command, command } from '../lifecycle/command.ts';
import { RdcError } from '../protocol/errors.ts';
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
  const held = [await open(root, DIRECTORY)];
  try {
    for (const part of parts) held.push(await open(through(held, part), DIRECTORY));
    // Of an agent that was killed while it made one.
    await removeFile(through(held, `${name}.new`));
    if (bytes === 0) await removeFile(through(held, name));
    else await makeFile(run, through(held, name), bytes);
    await held.at(-1)?.sync();
  } finally {
    for (const directory of held) await directory.close();
  }
}

async function makeFile(run: (command: Command) => Promise<unknown>, path: string, bytes: number): Promise<void> {
  const unfinished = `${path}.new`;
  const file = await open(unfinished, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY, 0o600);
  try {
    await allocate(run, file, bytes);
    await file.sync();
    await rename(unfinished, path);
  } catch (error) {
    await removeFile(unfinished);
    throw error;
  } finally {
    await file.close();
  }
}

/** The very file that is held open here, whatever its name means by now (proc_pid_fd(5)). */
async function allocate(run: (command: Command) => Promise<unknown>, file: FileHandle, bytes: number): Promise<void> {
  try {
    await run(command('fallocate', '--length', String(bytes), `/proc/${process.pid}/fd/${file.fd}`));
  } catch (error) {
    // Without the number of a file descriptor, which is another one each time.
    const said = (error as { cause?: { stderr?: string } }).cause?.stderr?.trim().split(': ').at(-1);
    if (said === undefined || said === '') throw error;
    throw new RdcError('COMMAND_FAILED', `fallocate: ${said}`, { cause: error });
  }
}

async function removeFile(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}

function through(held: readonly FileHandle[], name: string): string {
  return `/proc/self/fd/${held.at(-1)?.fd}/${name}`;
}
