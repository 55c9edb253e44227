// Whatever stands in the files of a repository: an answer or a refusal that says so, soon, and never another error.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { interpolate, plainVariables } from '../../src/network/interpolate.ts';
import { checkRediaccfileText } from '../../src/network/rediaccfile-warnings.ts';
import {
  formatServicesFile,
  mergeServices,
  parseServicesFile,
  serviceEnvironment,
} from '../../src/network/services.ts';
import { RdcError } from '../../src/protocol/errors.ts';
import type { NetworkId } from '../../src/protocol/ids.ts';
import { check } from '../helpers/compose-fixtures.ts';

/** Anything but an RdcError fails the property. */
function answered(work: () => unknown): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof RdcError)) throw error;
    expect(error.message).not.toBe('');
  }
}

const WORDS = [
  ...[
    'services:',
    'include:',
    'extends:',
    'ports:',
    'volumes:',
    'image: x',
    'a:',
    'b:',
    '<<: *a',
    '&a',
    '*a',
    '!reset',
    '!override',
  ],
  ...[
    '- ',
    '- b.yml',
    '"80:80"',
    '[',
    ']',
    '{',
    '}',
    ',',
    ':',
    '? ',
    '|',
    '>',
    '---',
    '...',
    '#',
    '"',
    "'",
    '%YAML 1.1',
    '!!binary x',
    '!!set',
    '~',
  ],
  ...[
    '\n',
    '\n  ',
    '\n    ',
    '\t',
    '\r\n',
    ' ',
    '\uFEFF',
    '\0',
    '${A:-b}',
    '$$',
    '1',
    '0x1',
    '__proto__:',
    'file: b.yml',
    'service: a',
    'path: ',
    '\ud800',
  ],
];
const soup = fc.array(fc.constantFrom(...WORDS), { maxLength: 40 }).map((words) => words.join(''));
const node: fc.Memo<unknown> = fc.memo((depth) =>
  depth <= 1
    ? fc.constantFrom<unknown>('x', '80:80', './a:/b', '/srv:/x:ro', 1, true, null, '${A}', 'b.yml', 'host')
    : fc.oneof(
        { maxDepth: depth },
        fc.array(node(depth - 1), { maxLength: 3 }),
        fc.dictionary(
          fc.constantFrom(
            'ports',
            'volumes',
            'extends',
            'file',
            'service',
            'target',
            'published',
            'source',
            'type',
            'cap_add',
            'profiles',
            'network_mode',
            'external',
            '__proto__',
          ),
          node(depth - 1),
          { maxKeys: 4 },
        ),
      ),
);
const project = fc.record(
  {
    services: fc.oneof(fc.dictionary(fc.constantFrom('a', 'b', 'constructor'), node(4)), node(2)),
    include: node(3),
    volumes: node(3),
  },
  { requiredKeys: [] },
);

describe('no crash and no hang', () => {
  it('compose text of YAML words', { timeout: 30_000 }, () =>
    fc.assert(
      fc.asyncProperty(soup, soup, async (main, other) => void (await check({ 'compose.yml': main, 'b.yml': other }))),
      { numRuns: 3000 },
    ),
  );

  it('compose files with the right words in the wrong places', { timeout: 30_000 }, () =>
    fc.assert(
      fc.asyncProperty(
        project,
        project,
        async (main, other) =>
          void (await check({ 'compose.yml': JSON.stringify(main), 'b.yml': JSON.stringify(other) })),
      ),
      { numRuns: 2000 },
    ),
  );

  it('.rediacc.json of any text, and of nearly right values', { timeout: 30_000 }, () => {
    const entry = fc.oneof(
      fc.record({ slot: fc.oneof(fc.integer({ min: -2, max: 63 }), fc.double(), fc.string()) }),
      fc.jsonValue({ maxDepth: 1 }),
    );
    const nearly = fc
      .record({ services: fc.dictionary(fc.string({ maxLength: 6 }), entry, { maxKeys: 5 }) })
      .map((value) => JSON.stringify(value));
    const cut = fc.tuple(nearly, fc.nat(80)).map(([text, length]) => text.slice(0, length));
    const read = (text: string) => {
      const file = mergeServices(parseServicesFile('/m/.rediacc.json', text), ['new']);
      formatServicesFile(file);
      serviceEnvironment(2816 as NetworkId, file);
    };
    fc.assert(
      fc.property(fc.oneof(nearly, cut, fc.json(), fc.string(), soup), (text) => answered(() => read(text))),
      { numRuns: 3000 },
    );
  });

  it('names of services', { timeout: 30_000 }, () =>
    fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary', maxLength: 12 }), async (name) => {
        const { findings, names } = await check({
          'compose.yml': JSON.stringify({ services: { [name]: { image: 'x' } } }),
        });
        // What is not refused is a variable and fits into the file.
        if (findings.some(({ severity }) => severity === 'error')) return;
        const file = mergeServices({ services: {} }, names);
        expect(Object.keys(serviceEnvironment(2816 as NetworkId, file))).toHaveLength(names.length);
        parseServicesFile('/m', formatServicesFile(file));
      }),
      { numRuns: 1500 },
    ),
  );

  it('variables, .env files and Rediaccfiles', { timeout: 30_000 }, () => {
    const bash = fc.array(
      fc.constantFrom('sudo ', 'docker', ' -u ', '-E ', '\\\n', '\n', ';', '$(', ')', '#', '"', 'A=b ', ' '),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(fc.string(), bash, soup, (text, words, more) => {
        const env = plainVariables(`${text}\nA=1\n${more}`);
        interpolate(text + more, env);
        checkRediaccfileText('Rediaccfile', words.join('') + text);
      }),
      { numRuns: 1500 },
    );
  });
});

describe('hostile in size', { timeout: 30_000 }, () => {
  const soon = async (files: Record<string, string>, directories?: string[]) => {
    const start = performance.now();
    const result = await check(files, directories);
    expect(performance.now() - start).toBeLessThan(15_000);
    return result.findings.map(({ rule, message }) => `${rule}: ${message}`);
  };

  it('aliases that unfold without measure', async () => {
    const levels = Array.from(
      { length: 30 },
      (_, n) => `x-${n + 1}: &x${n + 1} [${Array(9).fill(`*x${n}`).join(',')}]`,
    );
    expect(await soon({ 'compose.yml': `x-0: &x0 [a]\n${levels.join('\n')}\n` })).toEqual([
      expect.stringContaining('unfold'),
    ]);
  });
  it('nested without end', async () => {
    expect(await soon({ 'compose.yml': `services: ${'['.repeat(50_000)}` })).toHaveLength(1);
    expect(await soon({ 'compose.yml': `services: ${'{a: '.repeat(50_000)}` })).toHaveLength(1);
    expect(await soon({ 'compose.yml': `services:\n${'- '.repeat(20_000)}a` })).toHaveLength(1);
  });
  it('twenty thousand keys', async () => {
    const keys = Array.from({ length: 20_000 }, (_, n) => `k${n}: 1`).join('\n');
    expect(await soon({ 'compose.yml': `x-a:\n  ${keys.replaceAll('\n', '\n  ')}\nservices: {}\n` })).toEqual([]);
  });
  it('a thousand services', async () => {
    const many = Array.from(
      { length: 2000 },
      (_, n) => `  s${n}: {image: x, ports: ["80:80"], extends: {file: b.yml, service: s${n}}}`,
    ).join('\n');
    expect(
      (
        await soon({
          'compose.yml': `services:\n${many}\n`,
          'b.yml': `services:\n${many.replaceAll(/, extends.*$/gm, '}')}\n`,
        })
      ).length,
    ).toBeGreaterThan(1900);
  });
  it('includes that double at every level, and a long chain of extends', async () => {
    const files = Object.fromEntries(
      Array.from({ length: 15 }, (_, n) => [
        `l${n}.yml`,
        `include: [{path: l${n + 1}.yml}, {path: [l${n + 1}.yml]}]\n`,
      ]),
    );
    expect(await soon({ ...files, 'compose.yml': 'include: [l0.yml]\n', 'l15.yml': 'services: {}\n' })).toEqual([
      expect.stringContaining('more than 1000'),
    ]);
    const chain = Array.from({ length: 3000 }, (_, n) => `  s${n}: {extends: s${n + 1}}`).join('\n');
    expect(await soon({ 'compose.yml': `services:\n${chain}\n` })).toEqual([expect.stringContaining('more than 50')]);
  });
  it('a file larger than anybody writes, and a Rediaccfile of 10 MB', async () => {
    expect(await soon({ 'compose.yml': 'a: b\n'.repeat(300_000) })).toEqual([expect.stringContaining('larger than')]);
    expect(await soon({ Rediaccfile: 'sudo -u docker x '.repeat(600_000) })).toEqual([]);
    expect(await soon({ Rediaccfile: 'sudo cat docker\n'.repeat(600_000) })).toEqual([]);
  });
});
