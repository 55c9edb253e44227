// The only door to the server. `agent/linux-system.ts` implements it on Linux; `test/helpers/fake-system.ts`
// interprets the same commands over a model machine.
import type { Command, CommandResult } from './command.ts';
import type { Space } from './space.ts';

export interface FileStat {
  kind: 'file' | 'directory' | 'symlink' | 'socket' | 'other';
  sizeBytes: number;
  /** Bytes on disk: st_blocks × 512 (stat(2)). */
  allocatedBytes: number;
  mode: number;
  uid: number;
  gid: number;
}

/** Why a file inside a tree was not read. "outside": a link led out of the tree. "unreadable": neither a plain file nor absent. */
export type InsideRead = { text: string } | { refused: 'absent' | 'outside' | 'unreadable' | 'too-large' | 'not-text' };

export type OutputSink = (stream: 'stdout' | 'stderr', chunk: Buffer) => void;

export interface System {
  /** Throws COMMAND_FAILED on an exit code that is neither 0 nor allowed, TOOL_MISSING when the program is not there. `onOutput` gets chunks as they come; the result then still carries the text, bounded to its last 1 MiB. */
  run(command: Command, onOutput?: OutputSink): Promise<CommandResult>;
  /** undefined when the file does not exist. */
  readFile(path: string): Promise<string | undefined>;
  /** Reads a file that users of a repository wrote: links are followed but never out of `root`, nothing but a plain UTF-8 file of at most `maxBytes` is opened. */
  readInside(root: string, path: string, maxBytes: number): Promise<InsideRead>;
  /** Temp file in the same directory with its mode set before its content, fsync, rename, fsync of the directory. */
  writeFile(path: string, text: string, mode: number): Promise<void>;
  /** Removes a file or an empty directory; absent is fine. */
  remove(path: string): Promise<void>;
  /** mkdir -p; the mode applies to directories that it creates. */
  makeDirectory(path: string, mode: number): Promise<void>;
  /** Makes `path` a file of ours that takes so many bytes and holds nothing, or with 0 removes it. Nothing in `root` leads it elsewhere. Throws COMMAND_FAILED without room. */
  reserve(root: string, path: string, bytes: number): Promise<void>;
  /** Names in byte order; undefined when the directory does not exist. */
  list(path: string): Promise<string[] | undefined>;
  /** lstat: a symlink is reported as such. undefined when absent. */
  stat(path: string): Promise<FileStat | undefined>;
  /** Of the filesystem that holds the path (statfs(2)); no program is started. undefined when the path is absent. */
  space(path: string): Promise<Space | undefined>;
  /** Monotonic milliseconds. */
  now(): number;
  /** Resolves after ms, rejects with CANCELLED when the run was cancelled. */
  sleep(ms: number): Promise<void>;
}
