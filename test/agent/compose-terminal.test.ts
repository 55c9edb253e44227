// The terminal of a compose unit: made by the unit's own words, which are run here with a renet of the test; found again
// from outside by the numbers that the kernel tells.
import { spawn } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { resizeTerminal, terminalOf } from '../../src/agent/compose-terminal.ts';
import { composeUnit } from '../../src/agent/compose-unit.ts';
import { scriptedSystem } from '../helpers/scripted-system.ts';
import { shopTarget } from '../helpers/target.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'rdc-terminal-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

interface Ended {
  exitCode: number | null;
  shown: string;
}

/** What the unit would run behind function-init, with `renet` as the test has it. `typed`: a text that is shown, and what is typed then. */
async function onTerminal(renet: string, words: string[], typed: Record<string, string> = {}): Promise<Ended> {
  const path = join(directory, 'renet');
  await writeFile(path, `#!/bin/bash\n${renet}\n`);
  await chmod(path, 0o755);
  const terminal = { columns: 101, rows: 33, name: 'xterm' };
  const host = { resolvConf: undefined, dockerData: undefined };
  const call = { target: shopTarget(), directory, environment: {}, words, host, terminal };
  const { args } = composeUnit(call).run;
  const at = args.indexOf('/bin/sh');
  const own = [...args.slice(at + 1, at + 4), ...args.slice(args.indexOf('/bin/bash'))];
  const child = spawn('/bin/sh', own, { env: { PATH: `${directory}:${process.env.PATH}` } });
  let shown = '';
  const left = new Map(Object.entries(typed));
  child.stdout.on('data', (chunk: Buffer) => {
    shown += chunk.toString();
    for (const [sign, keys] of left) if (shown.includes(sign) && left.delete(sign)) child.stdin.write(keys);
  });
  const exitCode = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { exitCode, shown };
}

describe('the terminal of a compose unit', () => {
  test('has the size that was asked for; words come as they were typed; the exit code is passed on', async () => {
    const words = ['exec', 'web', 'a b', '', "it's $HOME", 'ä\n*'];
    const renet = `[[ -t 0 && -t 1 && -t 2 ]] && stty size; printf '[%s]' "$@"; exit 7`;
    const { exitCode, shown } = await onTerminal(renet, words);
    expect(exitCode).toBe(7);
    const said = shown.replaceAll('\r\n', '\n');
    expect(said).toBe(`33 101\n${['compose', '--', ...words].map((word) => `[${word}]`).join('')}`);
  });

  test('what is typed is echoed, and Ctrl-C is SIGINT to what runs there', async () => {
    const renet = `trap 'echo interrupted; exit 5' INT; echo ready; read -r line; echo "got $line"; while :; do sleep 0.05; done`;
    const { exitCode, shown } = await onTerminal(renet, [], { ready: 'typed\n', 'got typed': '\u0003' });
    expect(shown).toMatch(/^ready\r\ntyped\r\ngot typed\r\n(\^C)?interrupted\r\n$/);
    expect(exitCode).toBe(5);
  });
});

describe('its size', () => {
  test('is set on the terminal of the first process that has one', async () => {
    const ran: string[] = [];
    const system = scriptedSystem((command) => {
      ran.push([command.file, ...command.args].join(' '));
      return command.file === 'systemctl' ? { stdout: '/rediacc.slice/x.service\n' } : {};
    });
    const files: Record<string, string> = {
      '/sys/fs/cgroup/rediacc.slice/x.service/cgroup.procs': '10\n11\n12\n',
      '/proc/10/stat': '10 (script) S 1 10 10 0 -1 4194560',
      '/proc/12/stat': '12 (a ) b) S 10 12 12 34819 12 4194560',
    };
    const readFile = async (path: string) => files[path];
    await resizeTerminal({ ...system, readFile }, 'x.service', { columns: 80, rows: 24 });
    expect(ran.at(-1)).toBe('stty -F /dev/pts/3 rows 24 columns 80');
  });

  test.each([
    ['1 (sh) S 1 1 1 34816 1', '/dev/pts/0'],
    ['1 (sh) S 1 1 1 35071 1', '/dev/pts/255'],
    ['1 (sh) S 1 1 1 35072 1', '/dev/pts/256'],
    ['1 (sh) S 1 1 1 1025 1', undefined],
    ['1 (sh) S 1 1 1 0 1', undefined],
    ['', undefined],
  ])('%s: %s', (stat, path) => expect(terminalOf(stat)).toBe(path));
});
