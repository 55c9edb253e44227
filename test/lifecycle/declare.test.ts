// What makes systemd read the units of a chain: a reload holds up every other chain, so it is done only where systemd would
// otherwise work with something else than what is on disk.
import { expect, test } from 'vitest';
import { repoObserver } from '../../src/lifecycle/facts.ts';
import { converge } from '../../src/lifecycle/run-plan.ts';
import { type DeclaredFile, declareSteps, dropInPath, forgetStep, startUnitStep } from '../../src/lifecycle/units.ts';
import { scriptedSystem } from '../helpers/scripted-system.ts';
import { shopTarget } from '../helpers/target.ts';

const TARGET = shopTarget();
const UNITS = Object.values(TARGET.units);
const FILES: DeclaredFile[] = UNITS.map((unit) => ({
  path: dropInPath('/run/systemd/system', unit),
  text: `[Unit]\nDescription=${unit}\n`,
}));

/** `read`: which drop-ins systemd knows before it is told to reload. It has all units in memory. */
async function declared(read: (onDisk: string[]) => string[], isStale = false) {
  let isReloaded = false;
  const system = scriptedSystem(({ args }) => {
    if (args[0] === 'daemon-reload') isReloaded = true;
    if (args[0] === 'list-units') {
      return { stdout: UNITS.map((unit) => `${unit} loaded inactive dead ${unit}\n`).join('') };
    }
    if (args[0] !== 'show') return {};
    const onDisk = [...system.files.keys()];
    const known = isReloaded ? onDisk : read(onDisk);
    const shown = UNITS.map((unit) => {
      const dropIns = known.filter((path) => path.includes(`/${unit}.d/`)).join(' ');
      const reload = isStale && !isReloaded ? 'yes' : 'no';
      return `NeedDaemonReload=${reload}\nDropInPaths=${dropIns}`;
    });
    return { stdout: `${shown.join('\n\n')}\n` };
  });
  const observe = repoObserver(system, TARGET, FILES);
  const isClosedQuiet = !(await observe()).needsReload;
  await converge(declareSteps(TARGET, FILES), { system, report: () => undefined, observe });
  expect((await observe()).needsReload).toBe(false);
  expect([...system.files.keys()].sort()).toEqual(FILES.map(({ path }) => path).sort());
  return { reloads: system.commands.filter(({ args }) => args[0] === 'daemon-reload').length, isClosedQuiet };
}

test('systemd reads the files of a unit that it has not heard of by itself: no reload', async () => {
  expect(await declared((onDisk) => onDisk)).toEqual({ reloads: 0, isClosedQuiet: true });
});

test('a unit that is known without its drop-in, even if systemd sees no need: one reload', async () => {
  expect(await declared(() => [])).toMatchObject({ reloads: 1 });
  expect(await declared((onDisk) => onDisk.slice(1))).toMatchObject({ reloads: 1 });
});

test('systemd says that files have changed: one reload', async () => {
  expect(await declared((onDisk) => onDisk, true)).toMatchObject({ reloads: 1 });
});

test('units that systemd has not in memory need none; of those that it has, it is asked once, and again when files were written', async () => {
  const asked: string[] = [];
  let isStarted = false;
  const system = scriptedSystem(({ args }) => {
    asked.push(args[0] ?? '');
    if (args[0] === 'start') isStarted = true;
    const unit = TARGET.units.volume;
    if (args[0] === 'list-units') return { stdout: isStarted ? `${unit} loaded active exited x\n` : '' };
    const dropIns = [...system.files.keys()].filter((path) => path.includes(`/${unit}.d/`)).join(' ');
    return { stdout: `NeedDaemonReload=no\nDropInPaths=${dropIns}\n` };
  });
  const start = startUnitStep({
    ...{ id: 'volume.hold', title: 'hold it', already: 'it is held', unit: TARGET.units.volume },
    state: (facts) => facts.units.volume.active,
  });
  const observe = repoObserver(system, TARGET, FILES);
  const run = { system, report: () => undefined, observe };
  expect(await converge([...declareSteps(TARGET, FILES), start], run)).toBe(true);
  expect(asked).toEqual(['list-units', 'list-units', 'start', 'list-units']);
  asked.length = 0;
  expect(await converge([...declareSteps(TARGET, FILES), start], run)).toBe(false);
  expect(asked).toEqual(['list-units']);
  await converge([start], { ...run, observe: repoObserver(system, TARGET, FILES) });
  expect(asked).toEqual(['list-units', 'list-units', 'show']);
});

test('at the end of a down a unit that failed is forgotten; control: one that ended well is not in memory', async () => {
  let failed = 'loaded failed failed';
  const system = scriptedSystem(({ args }) => {
    if (args[0] === 'reset-failed') failed = '';
    const isListed = args[0] === 'list-units' && failed !== '';
    return { stdout: isListed ? `${TARGET.units.docker} ${failed} docker daemon\n` : '' };
  });
  const observe = repoObserver(system, TARGET, FILES);
  const forget = () => converge([forgetStep(TARGET, FILES)], { system, report: () => undefined, observe });
  expect(await forget()).toBe(true);
  expect(system.commands.filter(({ args }) => args[0] === 'reset-failed').map(({ args }) => args[1])).toEqual([
    TARGET.units.docker,
  ]);
  expect(await forget()).toBe(false);
});
