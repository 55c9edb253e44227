// A machine that lies: it gets no credential of another one, the workstation loses none, and the terminal obeys none of it.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openScreen } from '../../src/cli/screen.ts';
import { RdcError } from '../../src/protocol/errors.ts';
import { type Workstation, workstation } from '../helpers/cli-world.ts';
import { bufferedIo } from '../helpers/run-cli.ts';

const PHRASE = 'correct horse battery';

function file({ configDir }: Workstation, name: string) {
  const path = join(configDir, name);
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
}

/** "good" has the repository "shop"; "evil" has one that claims to be it. What evil was sent is kept. */
async function twoMachines(name: string) {
  const world = workstation('good', 'evil');
  await world.done('repo create shop -m good --size 1G');
  const { good, evil } = world.machines;
  const [shop] = good?.repos ?? [];
  if (evil === undefined || shop === undefined) throw new Error('the world is not whole');
  const mine = evil.add(name, PHRASE);
  mine.guid = shop.guid;
  const sent: string[] = [];
  evil.before = (_operation, input) => void sent.push(JSON.stringify(input));
  return { world, shop, mine, sent, before: file(world, 'credentials.json') };
}

describe('a machine that answers with the GUID of a repository on another one', () => {
  test.each([
    ['repo adopt bait -m evil'],
    ['repo credential rotate bait -m evil --credential-stdin'],
    ['repo credential add bait -m evil --credential-stdin'],
    ['repo delete bait -m evil --yes'],
  ])('%s: its credential is neither sent nor touched', async (line) => {
    const { world, shop, sent, before } = await twoMachines('bait');
    const config = file(world, 'config.json');
    await world.rdc(line, { stdin: PHRASE });
    expect(file(world, 'credentials.json')).toBe(before);
    expect(JSON.parse(file(world, 'config.json'))).toEqual(JSON.parse(config));
    expect(sent.join()).not.toContain(shop.keys[0]);
  });

  test.each([['credential rotate own'], ['delete own --yes']])('repo %s, recorded there', async (line) => {
    const { world, shop, mine } = await twoMachines('bait');
    await world.done('repo create own -m evil --size 1G');
    const before = file(world, 'credentials.json');
    mine.keys = [...shop.keys];
    Object.assign(world.machines.evil ?? {}, { find: () => mine });
    await world.rdc(`repo ${line}`);
    expect(file(world, 'credentials.json')).toBe(before);
  });

  test('a credential whose machine was forgotten goes nowhere but where a person says', async () => {
    const { world, shop, mine, sent } = await twoMachines('bait');
    await world.done('context remove-machine good --yes');
    expect(await world.rdc('repo adopt bait -m evil')).toMatchObject({ exitCode: 1 });
    expect(sent.join()).not.toContain(shop.keys[0]);
    mine.keys = [...shop.keys];
    await world.done(`repo adopt ${shop.guid} -m evil`);
  });
});

describe('what a machine says moves no cursor and sets no title', () => {
  const EVIL = 'a\u001b]0;title\u0007b\u001b[2Jc\u009b2Jd\u001b[1A\r\be';
  /** What is left when line ends, tabs, our colours and what log-update does to its own lines are taken out. */
  const controls = (text: string) => text.replaceAll(OURS, '').match(/(?![\n\t])\p{Cc}/gu) ?? [];
  const OURS = new RegExp(`${'\u001b'}\\[(?:[0-9;]*m|2K|G)`, 'g');

  test.each([
    ['repo status shop', 'repo.status', true],
    ['repo status shop', 'repo.status', false],
    ['repo list', 'repo.list', true],
    ['repo up shop', 'repo.up', false],
    ['repo up shop --json', 'repo.up', true],
  ] as const)('%s: error of %s (terminal: %s)', async (line, operation, isTerminal) => {
    const world = workstation('m');
    await world.done('repo create shop --size 1G');
    world.machine.before = (asked) => {
      if (asked === operation) throw new RdcError('FAILED', EVIL, { hint: EVIL, cause: new Error(EVIL) });
    };
    const terminal = { stdin: isTerminal, stdout: isTerminal, stderr: isTerminal };
    const { stdout, stderr } = await world.rdc(`${line} -v`, { terminal });
    expect(stderr).toContain('abc');
    expect(controls(stdout + stderr)).toEqual([]);
  });

  test('names of files, steps, actors and hints', async () => {
    const { io, text } = bufferedIo({ terminal: { stdout: true, stderr: true } });
    io.print(EVIL);
    io.say(EVIL);
    io.warn(EVIL, EVIL);
    const screen = await openScreen(io.streams.stderr, false);
    screen.line(EVIL);
    const { stdout, stderr } = text();
    expect(controls(stdout + stderr)).toEqual([]);
  });

  test('under --json a control character is written as its escape', () => {
    const { io, text } = bufferedIo({ json: true });
    io.printJson({ name: EVIL });
    expect(controls(text().stdout)).toEqual([]);
    expect(JSON.parse(text().stdout)).toEqual({ name: EVIL });
  });
});

test('a repository that was moved: deleting the old copy leaves the credential of the new one', async () => {
  const { world, shop, mine, before } = await twoMachines('shop');
  mine.keys = [...shop.keys];
  await world.done(`repo adopt ${shop.guid} -m evil`);
  await world.done('repo delete shop -m good --yes');
  expect(file(world, 'credentials.json')).toBe(before);
  await world.done('repo mount shop');
});
