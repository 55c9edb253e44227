// .rediacc.json as hands, crashes and attackers leave it.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LAST_SLOT, serviceAddress } from '../../src/network/address.ts';
import {
  formatServicesFile,
  mergeServices,
  parseServicesFile,
  pruneServices,
  type ServicesFile,
  serviceEnvironment,
  serviceVariable,
} from '../../src/network/services.ts';
import { FIRST_NETWORK_ID, LAST_NETWORK_ID, NETWORK_ID_STEP, type NetworkId } from '../../src/protocol/ids.ts';

const PATH = '/m/.rediacc.json';
const empty = () => parseServicesFile(PATH, undefined);
const ids = fc
  .integer({ min: 0, max: Math.floor((LAST_NETWORK_ID - FIRST_NETWORK_ID) / NETWORK_ID_STEP) })
  .map((step) => (FIRST_NETWORK_ID + step * NETWORK_ID_STEP) as NetworkId);
const name = fc.oneof(
  fc.stringMatching(/^[a-zA-Z_][a-zA-Z0-9_-]{0,8}$/),
  fc.constantFrom('__proto__', 'constructor', 'toString', 'hasOwnProperty', 'valueOf'),
);
const names = fc.uniqueArray(name, { maxLength: 30 });

describe('slots, whatever the names', () => {
  it('stay in the block of their repository', () => {
    fc.assert(
      fc.property(ids, fc.integer({ min: 0, max: LAST_SLOT }), (id, slot) => {
        const number = serviceAddress(id, slot)
          .split('.')
          .reduce((sum, part) => sum * 256 + Number(part), 0);
        const base = 127 * 2 ** 24 + id;
        expect(number).toBeGreaterThanOrEqual(base + 2);
        expect(number).toBeLessThanOrEqual(base + 62);
      }),
    );
  });

  it('never move, and a second merge changes nothing', () => {
    fc.assert(
      fc.property(names, names, (first, second) => {
        const before = mergeServices(empty(), first);
        const after = mergeServices(before, second);
        for (const one of first) expect(after.services[one]).toEqual(before.services[one]);
        for (const one of second) expect(Object.hasOwn(after.services, one)).toBe(true);
        expect(formatServicesFile(mergeServices(after, [...second, ...first]))).toBe(formatServicesFile(after));
        const slots = Object.values(after.services).map(({ slot }) => slot);
        expect(new Set(slots).size).toBe(slots.length);
        expect(slots.every((slot) => slot >= 0 && slot <= LAST_SLOT)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it('are the same whatever the order in which known services are met', () => {
    fc.assert(
      fc.property(names, fc.integer(), (all, seed) => {
        const file = mergeServices(empty(), all);
        const other = all.toSorted((a, b) => ((a.length * 31 + seed) % 7) - ((b.length * 17 + seed) % 5));
        expect(formatServicesFile(mergeServices(file, other))).toBe(formatServicesFile(file));
      }),
    );
  });

  it('survive the file, byte for byte the second time', () => {
    fc.assert(
      fc.property(names, (all) => {
        const text = formatServicesFile(mergeServices(empty(), all));
        const again = parseServicesFile(PATH, text);
        expect(Object.keys(again.services).sort()).toEqual(all.toSorted());
        expect(formatServicesFile(again)).toBe(text);
      }),
    );
  });

  it('give names that make legal variables, each its own', () => {
    fc.assert(
      fc.property(names, ids, (all, id) => {
        const distinct = all.filter(
          (one, at) => all.findIndex((x) => serviceVariable(x) === serviceVariable(one)) === at,
        );
        const env = serviceEnvironment(id, mergeServices(empty(), distinct));
        expect(Object.keys(env)).toHaveLength(distinct.length);
        for (const key of Object.keys(env)) expect(key).toMatch(/^[A-Z_][A-Z0-9_]*_IP$/);
      }),
    );
  });

  it('of vanished services are free after pruning only', () => {
    const file = mergeServices(empty(), ['a', 'gone', 'b']);
    expect(mergeServices(file, ['new']).services.new).toEqual({ slot: 3 });
    const { file: left, pruned } = pruneServices(file, ['a', 'b', '__proto__']);
    expect(pruned).toEqual(['gone']);
    expect(mergeServices(left, ['new']).services).toMatchObject({ a: { slot: 0 }, b: { slot: 2 }, new: { slot: 1 } });
  });
});

describe('unknown keys', () => {
  const json = fc.jsonValue({ maxDepth: 3, noUnicodeString: false });
  it('are kept on every level', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), json), fc.dictionary(fc.string(), json), (top, inner) => {
        const value = { ...top, services: { a: { ...inner, slot: 5 } } };
        const written = JSON.parse(
          formatServicesFile(mergeServices(parseServicesFile(PATH, JSON.stringify(value)), ['b'])),
        );
        expect(written.services.b).toEqual({ slot: 0 });
        delete written.services.b;
        expect(written).toEqual(JSON.parse(JSON.stringify(value)));
      }),
      { numRuns: 300 },
    );
  });
});

describe('is refused with path and line', () => {
  const at = (line: number, reason: RegExp) => new RegExp(`^/m/\\.rediacc\\.json:${line}: .*${reason.source}`);
  it.each([
    ['a slot twice', '{\n"services": {\n"a": {"slot": 1},\n"b": {"slot": 1}}}', at(4, /"a" and "b" both have slot 1/)],
    ['a key twice', '{"services": {\n"a": {"slot": 1},\n"a": {"slot": 2}}}', at(3, /"a" is there twice/)],
    ['a slot too high', '{"services": {\n\n"a": {"slot": 61}}}', at(3, /from 0 to 60/)],
    ['a negative slot', '{"services": {"a": {"slot": -1}}}', at(1, /from 0 to 60/)],
    ['a slot of text', '{"services": {\n"a": {\n"slot": "1"}}}', at(3, /whole number/)],
    ['half a slot', '{"services": {"a": {"slot": 1.5}}}', at(1, /whole number/)],
    ['no slot', '{"services": {\n"a": {}}}', at(2, /whole number/)],
    ['a slot from the prototype', '{"services": {"a": {"__proto__": {"slot": 1}}}}', at(1, /whole number/)],
    ['a service that is a number', '{"services": {"a": 1}}', at(1, /whole number/)],
    ['services that are a list', '{\n"services": []}', at(2, /must be an object/)],
    ['services that are null', '{"services": null}', at(1, /must be an object/)],
    ['an empty name', '{"services": {"": {"slot": 1}}}', at(1, /without a name/)],
    ['nothing in it', '', at(1, /not JSON/)],
    ['NULs after a crash', '\0\0\0\0', /^\/m\/\.rediacc\.json.*not JSON/],
    ['torn', '{\n"services": {\n"a": {', at(3, /not JSON/)],
    ['nested without end', '['.repeat(100_000), /nested deeper/],
  ])('%s', (_, text, message) => {
    expect(() => parseServicesFile(PATH, text)).toThrow(message);
  });

  it('control: the same file in order is taken', () => {
    const file: ServicesFile = parseServicesFile(
      PATH,
      '{"services": {"a": {"slot": 0}, "b": {"slot": 60}}, "services2": 1}',
    );
    expect(Object.keys(file.services)).toEqual(['a', 'b']);
  });
});
