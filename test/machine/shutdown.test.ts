// What systemd does with chains of repositories, by the real systemd of the playground's image in namespaces of this machine:
// volumes are in memory and daemons sleep, so it takes seconds. The same with real ones: boot.test.ts.
import { existsSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { liveInNamespaces, namespaceImage } from '../helpers/systemd-in-namespaces.ts';

const GOOD = '11111111-1111-4111-8111-111111111111';
const HANGING = '22222222-2222-4222-8222-222222222222';

let image: string;
let out: string;
const told = (file: string) => readFile(join(out, file), 'utf8');
/** The description of a function's unit is its whole program. */
const journalOf = async () => (await told('journal')).replace(/^(.{200}).*$/gm, '$1');

/** Starts, does everything, and powers off; what was seen is in the directory that it returns. */
async function live(...marks: string[]): Promise<string> {
  const { directory, said } = await liveInNamespaces(image, 'shutdown.sh', marks);
  const log = join(directory, 'log');
  const guest = existsSync(log) ? (await readFile(log, 'utf8')).slice(-2000) : 'the guest was not started';
  if (!existsSync(join(directory, 'journal'))) throw new Error(`it did not come to a shutdown\n${guest}\n${said}`);
  return directory;
}

beforeAll(async () => {
  image = await namespaceImage();
  out = await live();
});
afterAll(async () => {
  if (out !== undefined) await rm(out, { recursive: true, force: true });
});

test('drop-ins of a unit that was asked about before are read without a reload', async () => {
  const read = await told('read');
  expect(read.match(/NeedDaemonReload=no/g)).toHaveLength(4);
  expect(read.match(/DropInPaths=\S*10-rediacc\.conf/g)).toHaveLength(4);
});

describe('what is no shutdown', () => {
  test('isolate, daemon-reload, a restart of the daemon and of the agent: all stays up, no down()', async () => {
    expect((await told('before')).match(/ActiveState=active/g)).toHaveLength(9);
    expect(await told('after')).toBe(await told('before'));
    expect(await told('called-before-shutdown')).toBe('');
  });

  test('control: an isolate that the units do not ignore calls down()', async () => {
    const control = await live('control');
    try {
      expect(await readFile(join(control, 'called-before-shutdown'), 'utf8')).toContain('down');
    } finally {
      await rm(control, { recursive: true, force: true });
    }
  });
});

describe('a shutdown', () => {
  test('calls down() once, lets it finish, and undoes the chain in order', async () => {
    expect(await told('volume-2816/called')).toBe('down\nfinished\n');
    const journal = await journalOf();
    const order = ['repo', 'docker', 'net', 'volume'].map((unit) => journal.indexOf(`Stopped rediacc-${unit}@${GOOD}`));
    expect(Math.min(...order)).toBeGreaterThan(0);
    expect(order).toEqual([...order].sort((a, b) => a - b));
    expect(journal).toMatch(/root down: done/);
    expect(journal).not.toMatch(new RegExp(`@${GOOD}[^\\n]*(timed out|Failed with result)`));
    expect(existsSync(join(out, 'closed-2816'))).toBe(true);
  });

  test('ends a down() that hangs with its unit, and undoes the rest of its chain', async () => {
    const journal = await journalOf();
    expect(journal).toMatch(`rediacc-repo@${HANGING}.service: Stopping timed out`);
    expect(journal).toMatch('warning: the time for down() is over');
    const ended = journal.search(/Stopped rediacc-function-2880-/);
    expect(ended).toBeGreaterThan(0);
    expect(journal.indexOf(`Stopped rediacc-volume@${HANGING}`)).toBeGreaterThan(ended);
    expect(existsSync(join(out, 'closed-2880'))).toBe(true);
  });

  test('is told to whatever ends with the machine: the daemon then cancels its runs', async () => {
    expect(await told('state')).toBe('stopping\n');
  });
});
