// The agent killed in the middle of create, mount, up and delete on a real machine: the same command again ends well, and the
// machine is as after an undisturbed run. A sample; test/long/step-matrix.test.ts does it at every change.
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  changesOf,
  cutOffAndRepeat,
  expectState,
  type Fault,
  type Faulty,
  startFaulty,
  stateOf,
  subjectOf,
} from './faults.ts';
import { remainsOf, type Subject } from './remains.ts';

// The supervisor of the new agent may be looking at the repository just then.
const WAIT = '--wait=5m';
const COMMANDS = {
  create: `repo create shop --size 100M ${WAIT}`,
  mount: `repo mount shop ${WAIT}`,
  up: `repo up shop ${WAIT}`,
  delete: `repo delete shop --yes ${WAIT}`,
};
type Operation = keyof typeof COMMANDS;
const REDIACCFILE = 'up() { touch has-been-up; }\n';

let machine: Faulty;
/** Of the undisturbed runs. */
const changes = {} as Record<Operation, string[]>;
const states = {} as Record<Operation, string[]>;
let repo: Subject | undefined;

const state = () => stateOf(machine.vm, repo);

async function putRediaccfile(): Promise<void> {
  const { mountPoint } = await machine.desk.json<{ mountPoint: string }>('repo status shop');
  await machine.vm.root(`cat >${mountPoint}/Rediaccfile`, { input: REDIACCFILE });
}

/** The change whose words match. */
function at(operation: Operation, words: RegExp, when: Fault['when']): Fault {
  const index = changes[operation].findIndex((change) => words.test(change));
  expect(index, `${words} in ${changes[operation].join('\n')}`).toBeGreaterThanOrEqual(0);
  return { at: index + 1, when };
}

async function cutOff(operation: Operation, fault: Fault): Promise<void> {
  expect(await cutOffAndRepeat(machine, COMMANDS[operation], fault), JSON.stringify(fault)).toBe(true);
  if (operation === 'create') repo = await subjectOf(machine.desk, 'shop');
  await expectState(
    state,
    states[operation],
    `${operation}, ${JSON.stringify(fault)}: ${changes[operation][fault.at - 1]}`,
  );
}

beforeAll(async () => {
  machine = await startFaulty();
  for (const operation of ['create', 'mount', 'up', 'delete'] as const) {
    changes[operation] = await changesOf(machine, COMMANDS[operation]);
    if (operation === 'create') repo = await subjectOf(machine.desk, 'shop');
    states[operation] = await state();
    if (operation === 'mount') await putRediaccfile();
  }
});
afterAll(() => machine?.destroy());

test('control: states tell the operations apart, and a file that is left over is in them', async () => {
  expect(new Set(Object.values(states).map((lines) => lines.join('\n'))).size).toBe(4);
  await machine.vm.root('touch /mnt/rediacc/.state/x.tmp');
  expect(await state()).not.toEqual(states.delete);
  await machine.vm.root('rm /mnt/rediacc/.state/x.tmp');
  expect(await state()).toEqual(states.delete);
});

test('create, while cryptsetup formats: it goes on without the agent, and is waited for', async () => {
  await cutOff('create', at('create', /^cryptsetup luksFormat/, 'during'));
});

test('delete of a closed one, after its last change: done, and not "not found"', async () => {
  await cutOff('delete', { at: (await deletesOfClosed()).length, when: 'after' });
});

/** Those of one that is closed are fewer than those of one that is up. */
async function deletesOfClosed(): Promise<string[]> {
  const found = await changesOf(machine, COMMANDS.delete);
  await machine.desk.done(COMMANDS.create);
  repo = await subjectOf(machine.desk, 'shop');
  return found;
}

test('create, after the header backup came to its place', async () => {
  await cutOff('create', at('create', /^mv .*\.luks-header$/, 'after'));
});

// As a kill -9 leaves it between two calls of the kernel, which no test hits: dmsetup(8) makes them one by one.
test('mount, after a cryptsetup that was killed before its mapping had a table, and before that was in force', async () => {
  const { vm, desk } = machine;
  const { guid, image } = await desk.json<{ guid: string; image: string }>('repo status shop');
  const mapping = `rediacc-${guid}`;
  const made = `losetup --find --nooverlap ${image} && dmsetup create ${mapping} --notable`;
  const loaded = `dmsetup load ${mapping} --table "0 64 linear $(losetup --noheadings --output NAME --associated ${image}) 0"`;
  await vm.root(`dmsetup create ${mapping} --notable`);
  expect((await vm.ssh('root', `cryptsetup close ${mapping}`)).exitCode).toBe(4);
  expect(await desk.done('machine prune box --yes')).toContain(mapping);
  expect((await vm.ssh('root', `dmsetup info ${mapping}`)).exitCode).toBe(1);
  for (const left of [made, `${made} && ${loaded}`]) {
    await vm.root(left);
    await desk.done(COMMANDS.mount);
    await expectState(state, states.mount, left);
    await desk.done(`repo unmount shop ${WAIT}`);
  }
  const closed = await state();
  await vm.root(`${made} && ${loaded}`);
  expect(await state()).not.toEqual(closed);
  await desk.done(`repo unmount shop ${WAIT}`);
  await expectState(state, closed, 'unmount');
});

test('mount, while cryptsetup opens', async () => {
  await cutOff('mount', at('mount', /^cryptsetup open/, 'during'));
});

test('up, before the daemon is started', async () => {
  await putRediaccfile();
  await cutOff('up', at('up', /^systemctl start rediacc-docker@/, 'before'));
});

test('delete of one that is up, after its image is gone', async () => {
  await cutOff('delete', at('delete', /^rm --force -- /, 'after'));
  expect(repo && (await remainsOf(machine.vm, repo))).toEqual([]);
});
