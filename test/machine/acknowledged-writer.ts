// A program that inserts rows one by one through a session with the machine; what was acknowledged is recorded here, outside
// of the machine, as each line arrives.
import { spawn } from 'node:child_process';
import { sshArgs } from '../../src/cli/playground/ssh.ts';
import type { TestVm } from './vm.ts';

export interface Writer {
  /** Resolves once so many rows of this writer are acknowledged; rejects when it ends before. */
  until(count: number): Promise<void>;
  /** All that were acknowledged, once the session is over, however it ended. */
  ended: Promise<number[]>;
}

/**
 * `psql`: shell words on the machine that take SQL from stdin and print nothing but rows; there is a table "orders" with a key
 * "id". One transaction for each id from `from` on. psql prints a row when the server has told that its transaction is
 * committed.
 */
export function startWriter(vm: TestVm, psql: string, from: number): Writer {
  const insert = `seq ${from} 1000000000 | sed 's/.*/insert into orders values (&) returning id;/' | ${psql}`;
  const child = spawn('ssh', [...sshArgs(vm, 'root', ['-o', 'BatchMode=yes']), '--', insert], { stdio: 'pipe' });
  const acknowledged: number[] = [];
  let errors = '';
  let unfinished = '';
  let over = false;
  let changed: () => void = () => undefined;
  child.stdin.end();
  child.stdout.on('data', (chunk: Buffer) => {
    const lines = `${unfinished}${chunk.toString()}`.split('\n');
    unfinished = lines.pop() ?? '';
    acknowledged.push(...lines.map(Number));
    changed();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    errors += chunk.toString();
  });
  const ended = new Promise<number[]>((resolve) => {
    child.once('close', () => {
      over = true;
      changed();
      resolve(acknowledged);
    });
  });
  return {
    ended,
    async until(count) {
      while (acknowledged.length < count) {
        if (over) throw new Error(`the writer ended after ${acknowledged.length} rows\n${errors}`);
        await new Promise<void>((resolve) => {
          changed = resolve;
        });
      }
    },
  };
}
