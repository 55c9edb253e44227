import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  formatServicesFile,
  mergeServices,
  parseServicesFile,
  serviceEnvironment,
} from '../../src/network/services.ts';
import type { NetworkId } from '../../src/protocol/ids.ts';

const PATH = '/m/.rediacc.json';
const id = 2816 as NetworkId;
const names = fc.uniqueArray(fc.stringMatching(/^[a-z][a-z0-9-]{0,8}$/), { maxLength: 30 });

describe('slots', () => {
  it('are given in the order of the file, and a service never moves', () => {
    fc.assert(
      fc.property(names, names, (first, second) => {
        const before = mergeServices({ services: {} }, first);
        const after = mergeServices(before, second);
        for (const name of first) expect(after.services[name]).toEqual(before.services[name]);
        const slots = Object.values(after.services).map(({ slot }) => slot);
        expect(new Set(slots).size).toBe(slots.length);
      }),
    );
  });

  it('fill the gap that a hand-made file leaves', () => {
    const file = parseServicesFile(PATH, '{"services":{"api":{"slot":0},"postgres":{"slot":2}}}');
    expect(mergeServices(file, ['redis']).services.redis).toEqual({ slot: 1 });
  });

  it('run out with the 62nd service, which is named', () => {
    const many = Array.from({ length: 61 }, (_, index) => `s${index}`);
    const full = mergeServices({ services: {} }, many);
    expect(() => mergeServices(full, ['straw'])).toThrow(/"straw" is one too many/);
  });
});

describe('the file', () => {
  it('keeps unknown keys, sorts, and is stable', () => {
    const file = parseServicesFile(PATH, '{"x-note":"mine","services":{"b":{"slot":1,"note":2},"a":{"slot":0}}}');
    const text = formatServicesFile(file);
    expect(text).toBe(
      '{\n  "services": {\n    "a": {\n      "slot": 0\n    },\n    "b": {\n      "note": 2,\n      "slot": 1\n    }\n  },\n  "x-note": "mine"\n}\n',
    );
    expect(formatServicesFile(parseServicesFile(PATH, text))).toBe(text);
  });

  it.each([
    ['torn', '{"services": {"a"', /\.rediacc\.json:1: not JSON/],
    ['two services in one slot', '{"services":{"a":{"slot":0},"b":{"slot":0}}}', /"a" and "b" both have slot 0/],
    ['a slot out of range', '{"services":{"a":{"slot":61}}}', /\.json:1: services\.a\.slot/],
    ['another shape', '[]', /\/m\/\.rediacc\.json/],
  ])('is refused when %s', (_, text, message) => {
    expect(() => parseServicesFile(PATH, text)).toThrow(message);
  });
});

describe('{SERVICE}_IP', () => {
  it('is upper case with underscores', () => {
    expect(serviceEnvironment(id, { services: { 'listmonk-app': { slot: 0 }, redis: { slot: 3 } } })).toEqual({
      LISTMONK_APP_IP: '127.0.11.2',
      REDIS_IP: '127.0.11.5',
    });
  });

  it('is refused when two services would share it', () => {
    expect(() => serviceEnvironment(id, { services: { 'a-b': { slot: 0 }, a_b: { slot: 1 } } })).toThrow(
      /"a-b" and "a_b"/,
    );
  });

  it.each(['1st', 'a.b'])('is refused for "%s", which is no legal variable', (name) => {
    expect(() => serviceEnvironment(id, { services: { [name]: { slot: 0 } } })).toThrow(/no legal name/);
  });
});
