// The person's own terminal, lent to a program on the server: keys go there as they are typed, and it learns how large the window is.
import { spawnSync } from 'node:child_process';
import { ReadStream, WriteStream } from 'node:tty';
import { type Terminal, type TerminalSize, terminalSchema } from '../protocol/terminal.ts';
import type { Streams } from './io.ts';

/** Undefined unless both stdin and stdout are one: as docker compose has it. */
export function terminalOf(
  { stdin, stdout }: Pick<Streams, 'stdin' | 'stdout'>,
  env: NodeJS.ProcessEnv,
): Terminal | undefined {
  if (!(stdin instanceof ReadStream) || !(stdout instanceof WriteStream)) return undefined;
  const name = terminalSchema.shape.name.safeParse(env.TERM);
  return { ...sizeOf(stdout), name: name.data ?? 'dumb' };
}

/** Ctrl-C and the like are keys from here on. The answer gives the terminal back. */
export function lendTerminal(stdin: unknown, stdout: unknown, onSize: (size: TerminalSize) => void): () => void {
  if (!(stdin instanceof ReadStream) || !(stdout instanceof WriteStream)) return () => undefined;
  const tell = () => onSize(sizeOf(stdout));
  stdin.setRawMode(true);
  // Node's raw mode goes on turning LF into CR LF, but for a full-screen program LF is "down". What Node gives back is all as it was.
  spawnSync('stty', ['-opost'], { stdio: ['inherit', 'ignore', 'ignore'] });
  stdout.on('resize', tell);
  return () => {
    stdout.off('resize', tell);
    stdin.setRawMode(false);
  };
}

/** 0 where it tells no size (ioctl_tty(2)). */
function sizeOf({ columns, rows }: WriteStream): TerminalSize {
  return { columns: columns ?? 0, rows: rows ?? 0 };
}
