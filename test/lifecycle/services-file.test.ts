// .rediacc.json on the disk of a repository: written only when it changes, and never over what cannot be understood.
import { describe, expect, it } from 'vitest';
import { readServicesFile, updateServicesFile } from '../../src/lifecycle/services-file.ts';
import { mount, rediaccfileIn, target } from '../helpers/compose-fixtures.ts';
import { FakeSystem } from '../helpers/fake-system.ts';

const PATH = target.paths.servicesFile;
const SERVICES = 'services:\n  b: {image: x}\n  a: {image: x}\n';

function repository(json?: string, compose = SERVICES): FakeSystem {
  const system = new FakeSystem().file(`${mount}/compose.yml`, compose);
  return json === undefined ? system : system.file(PATH, json);
}
const update = (system: FakeSystem) => updateServicesFile(system, target, [rediaccfileIn('')]);
const textOf = (system: FakeSystem) => system.nodes.get(PATH)?.text;
const writes = (system: FakeSystem) => system.journal.filter((line) => line.startsWith('write'));

describe('.rediacc.json', () => {
  it('gets its slots in the order of the compose file, sorted by name', async () => {
    const system = repository();
    await update(system);
    expect(textOf(system)).toBe(
      '{\n  "services": {\n    "a": {\n      "slot": 1\n    },\n    "b": {\n      "slot": 0\n    }\n  }\n}\n',
    );
  });

  it('is written once; the second look changes nothing', async () => {
    const system = repository();
    await update(system);
    await update(system);
    expect(writes(system)).toHaveLength(1);
  });

  it('is not made for a repository without services', async () => {
    const system = repository(undefined, 'services: {}\n');
    await update(system);
    expect(writes(system)).toEqual([]);
  });

  it('sees what prep has written', async () => {
    const system = repository();
    await update(system);
    system.file(`${mount}/compose.yml`, 'services:\n  new: {image: x}\n  a: {image: x}\n');
    expect((await update(system)).file.services).toEqual({ a: { slot: 1 }, b: { slot: 0 }, new: { slot: 2 } });
  });

  it('keeps unknown keys on every level', async () => {
    const system = repository('{"x": {"y": [1]}, "services": {"a": {"slot": 7, "note": "mine"}}}');
    await update(system);
    expect(JSON.parse(textOf(system) ?? '')).toEqual({
      x: { y: [1] },
      services: { a: { slot: 7, note: 'mine' }, b: { slot: 0 } },
    });
  });

  it.each([
    ['torn', '{"services": {"a"', /\.rediacc\.json:1: not JSON/],
    ['with two services in one slot', '{"services": {"a": {"slot": 1}, "z": {"slot": 1}}}', /both have slot 1/],
    ['too large', `{"x": "${'y'.repeat(1024 ** 2)}"}`, /larger than 1048576 bytes/],
  ])('is left alone when it is %s', async (_, text, message) => {
    const system = repository(text);
    await expect(update(system)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringMatching(message),
    });
    expect(textOf(system)).toBe(text);
  });

  it.each([
    ['symlink', /is a link/],
    ['other', /is a FIFO or device/],
    ['directory', /is a directory/],
  ] as const)('is refused when a %s is in its place', async (kind, message) => {
    const system = repository('{}');
    Object.assign(system.nodes.get(PATH) ?? {}, { kind, text: '/etc/shadow' });
    await expect(update(system)).rejects.toThrow(message);
    await expect(readServicesFile(system, target)).rejects.toThrow(message);
    expect(writes(system)).toEqual([]);
  });

  it.each([
    [
      'the 62nd service',
      `services:\n${Array.from({ length: 62 }, (_, n) => `  s${n}: {image: x}\n`).join('')}`,
      /compose\.yml:63: service "s61" is one too many/,
    ],
    ['names that collide', 'services:\n  a-b: {image: x}\n  a_b: {image: x}\n', /"a-b".*"a_b"/],
    ['no YAML', 'services: [\n', /compose\.yml:2: /],
  ])('is not touched by %s: nothing may run', async (_, compose, message) => {
    const system = repository(undefined, compose);
    await expect(update(system)).rejects.toMatchObject({
      ...{ code: 'INVALID_INPUT', message: expect.stringMatching(message), hint: 'rdc repo validate shop' },
    });
    expect(writes(system)).toEqual([]);
  });

  it('hands warnings on', async () => {
    const { findings } = await update(repository(undefined, 'services:\n  a: {image: x, privileged: true}\n'));
    expect(findings).toMatchObject([{ rule: 'privileged', severity: 'warning', line: 2 }]);
  });
});
