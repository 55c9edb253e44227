// The agent killed before every change, and after the last one, of every operation on a repository on a real machine; in the
// middle of every program that works on the image. The same command once more ends well, and the machine is as after an
// undisturbed run. Three hours on two processors.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { credentialsOf, expectNoCredential } from '../machine/canary.ts';
import {
  changesOf,
  cutOffAndRepeat,
  expectState,
  type Fault,
  type Faulty,
  startFaulty,
  stateOf,
  subjectOf,
} from '../machine/faults.ts';

// The supervisor of the new agent may be looking at the repository just then.
const WAIT = '--wait=5m';
const CREATE = `repo create shop --size 100M ${WAIT}`;
const UP = `repo up shop ${WAIT}`;
const DOWN = `repo down shop --unmount ${WAIT}`;
const DELETE = `repo delete shop --yes ${WAIT}`;
const ENABLE = `repo autostart enable shop ${WAIT}`;
const DISABLE = `repo autostart disable shop ${WAIT}`;
/** Of a program that runs on its own when the agent is dead. */
const ON_THE_IMAGE = /^(cryptsetup|mkfs\.ext4|e2fsck|systemd-run|mount|rm|dd|truncate) /;

interface Row {
  name: string;
  command: string;
  /** From where the row before has ended. */
  first?: string[];
  /** From what the command leaves back to where it begins. */
  again: string[];
  /** It has functions to call. */
  hasFunctions?: true;
}

const resize = (size: string) => `repo resize shop --size ${size} ${WAIT}`;
const MOUNT = `repo mount shop ${WAIT}`;
const UNMOUNT = `repo unmount shop ${WAIT}`;

/** Some of them by their names: ROWS='up|delete'. */
const ROWS = new RegExp(`^(${process.env.ROWS ?? '.*'})$`);
const MATRIX: Row[] = (
  [
    { name: 'create', command: CREATE, again: [DELETE] },
    { name: 'autostart enable', command: ENABLE, again: [DISABLE] },
    { name: 'autostart disable', command: DISABLE, again: [ENABLE] },
    { name: 'mount', command: MOUNT, again: [UNMOUNT] },
    { name: 'resize of an open one', command: resize('160M'), again: [UNMOUNT, resize('100M'), MOUNT] },
    {
      name: 'resize of a closed one, larger',
      command: resize('140M'),
      first: [UNMOUNT, resize('100M')],
      again: [resize('100M')],
    },
    { name: 'resize of a closed one, smaller', command: resize('100M'), again: [resize('140M')] },
    { name: 'up', command: UP, again: [DOWN], hasFunctions: true },
    { name: 'down --unmount', command: DOWN, again: [UP] },
    { name: 'delete', command: DELETE, first: [ENABLE, UP], again: [CREATE, ENABLE, UP] },
  ] satisfies Row[]
).filter(({ name }) => ROWS.test(name));
if (MATRIX.length === 0) throw new Error(`no row of the matrix has a name like ${ROWS.source}`);

let machine: Faulty;
/** Also of those that are deleted since. */
const credentials = new Set<string>();
beforeAll(async () => {
  machine = await startFaulty();
  if (MATRIX[0]?.command !== CREATE) await machine.desk.done(CREATE);
});
afterAll(() => machine?.destroy());

async function putFunctions(): Promise<void> {
  await machine.desk.done(MOUNT);
  const { mountPoint } = await machine.desk.json<{ mountPoint: string }>('repo status shop');
  const text = 'prep() { sleep 1; }\nup() { sleep 1; touch has-been-up; }\ndown() { sleep 1; rm -f has-been-up; }\n';
  await machine.vm.root(`cat >${mountPoint}/Rediaccfile`, { input: text });
  await machine.desk.done(UNMOUNT);
}

async function allDone(lines: readonly string[]): Promise<void> {
  for (const line of lines) await machine.desk.done(line);
}

/** Every boundary of so many changes, and the middle of programs. */
function faultsOf(changes: readonly string[]): Fault[] {
  const before = changes.map((_, index): Fault => ({ at: index + 1, when: 'before' }));
  const during = changes.flatMap((words, index): Fault[] =>
    ON_THE_IMAGE.test(words) ? [{ at: index + 1, when: 'during' }] : [],
  );
  return [...before, { at: changes.length, when: 'after' }, ...during];
}

test.each(MATRIX)('$name', { timeout: 10_800_000 }, async ({ name, command, first = [], again, hasFunctions }) => {
  const { vm, desk } = machine;
  if (hasFunctions) await putFunctions();
  const subject = () => (name === 'delete' ? undefined : subjectOf(desk, 'shop'));
  await allDone(first);
  // The first time there may be more to do than every other time, as a reserve to set aside.
  await allDone([command, ...again]);
  const changes = await changesOf(machine, command);
  const undisturbed = await stateOf(vm, await subject());
  expect(changes.length).toBeGreaterThan(2);
  const missed: string[] = [];
  for (const fault of faultsOf(changes)) {
    const strike = async () => {
      await allDone(again);
      return cutOffAndRepeat(machine, command, fault);
    };
    const why = `${name}, ${fault.when} change ${fault.at}, "${changes[fault.at - 1]}"`;
    console.log(why);
    // One that finds less to do than the first time has come to its end.
    if (!(await strike()) && !(await strike())) missed.push(why);
    for (const value of await credentialsOf(desk)) credentials.add(value);
    const repo = await subject();
    await expectState(() => stateOf(vm, repo), undisturbed, why);
  }
  expect(missed).toEqual([]);
});

test('no credential lies on its disks', async () => {
  await machine.desk.done(CREATE);
  await expectNoCredential(machine, { earlier: credentials });
});
