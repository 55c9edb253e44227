import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { composeEnvironment, namesProject } from '../../src/lifecycle/compose-environment.ts';
import { nameProjects, parseProjects, projectName } from '../../src/lifecycle/compose-project.ts';
import { formatServicesFile, parseServicesFile } from '../../src/network/services.ts';
import type { NetworkId } from '../../src/protocol/ids.ts';

const PATH = '/mnt/x/.rediacc.json';
const EMPTY = { services: {} };
const names = (places: { repository: string; directories: string[] }, file = parseServicesFile(PATH, undefined)) =>
  Object.fromEntries(parseProjects(PATH, nameProjects(PATH, file, places)));

describe('the names of projects', () => {
  test.each([
    ['WebApp', 'webapp'],
    ['my.app v2', 'myappv2'],
    ['-_x', 'x'],
    ['Ünïcode', 'ncode'],
    ['日本', 'project'],
    ['a-b_c9', 'a-b_c9'],
  ])('"%s" is "%s", as compose has it', (text, name) => expect(projectName(text)).toBe(name));

  it('are the repository for the mount and the directory for a directory; of two alike the later is numbered', () => {
    expect(names({ repository: 'Shop', directories: ['', 'backend', 'Backend', 'back end', 'shop'] })).toEqual({
      '': 'shop',
      backend: 'backend',
      Backend: 'backend-2',
      'back end': 'backend-3',
      shop: 'shop-2',
    });
  });

  it('stay in a fork, under another name of the repository, beside new directories', () => {
    const first = nameProjects(PATH, EMPTY, { repository: 'shop', directories: ['', 'b'] });
    const kept = parseServicesFile(PATH, formatServicesFile(first));
    expect(names({ repository: 'fork', directories: ['', 'B', 'b'] }, kept)).toEqual({ '': 'shop', b: 'b', B: 'b-2' });
  });

  const directory = fc.oneof(
    fc.string({ minLength: 1 }),
    fc.constantFrom('a', 'A', 'á', 'a-2', '-', '__proto__', 'constructor'),
  );
  it('are legal, different, and never change, whatever directories come and go', () => {
    const property = fc.property(
      fc.array(fc.uniqueArray(directory), { maxLength: 4 }),
      fc.string(),
      (rounds, repository) => {
        let file = parseServicesFile(PATH, '{"services": {}, "kept": [1]}');
        let before = parseProjects(PATH, file);
        for (const directories of rounds) {
          file = parseServicesFile(PATH, formatServicesFile(nameProjects(PATH, file, { repository, directories })));
          const after = parseProjects(PATH, file);
          for (const [place, name] of before) expect(after.get(place)).toBe(name);
          for (const place of ['', ...directories]) expect(after.get(place)).toMatch(/^[a-z0-9][a-z0-9_-]*$/);
          expect(new Set(after.values()).size).toBe(after.size);
          expect(file).toMatchObject({ kept: [1] });
          before = after;
        }
      },
    );
    fc.assert(property, { numRuns: 1000 });
  });

  test.each([
    ['{"projects": []}', 'not an object'],
    ['{"projects": {"a": "Not Legal"}}', 'no legal name'],
    ['{"projects": {"a": 1}}', 'no legal name'],
    ['{"projects": {"a": "x", "b": "x"}}', '"a" and "b" both have "x"'],
  ])('in %s are refused', (text, reason) => {
    expect(() => parseProjects(PATH, parseServicesFile(PATH, text))).toThrow(reason);
  });
});

describe('the environment for renet compose', () => {
  const projects = new Map([
    ['', 'shop'],
    ['My App', 'my-app'],
    ['line\nbreak', 'linebreak'],
  ]);
  const services = { web: { slot: 0 }, 'a-b': { slot: 60 } };
  const place = { networkId: 2816 as NetworkId, services, projects, directory: 'My App', named: false };

  it('has the addresses, the projects and the name of the directory', () => {
    expect(composeEnvironment(place)).toEqual({
      REDIACC_SERVICES: 'web=127.0.11.2 a-b=127.0.11.62',
      REDIACC_PROJECTS: 'shop=/my-app=My App',
      REDIACC_PROJECT: 'my-app',
      COMPOSE_PROJECT_NAME: 'my-app',
    });
  });

  it('leaves the name to an author who gives one', () => {
    expect(composeEnvironment({ ...place, named: true })).not.toHaveProperty('COMPOSE_PROJECT_NAME');
  });

  test.each([
    [['name: shop\nservices: {}'], undefined, true],
    [['services: {}', "'name' : x"], undefined, true],
    [['services:\n  name: {}\nx-name: y'], undefined, false],
    [[], 'export COMPOSE_PROJECT_NAME=x', true],
    [[], '# COMPOSE_PROJECT_NAME=x\nMY_COMPOSE_PROJECT_NAME=x', false],
  ])('%j with .env %j: named %s', (texts, env, named) => expect(namesProject(texts, env)).toBe(named));
});
