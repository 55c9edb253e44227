// docs/dependencies.md names exactly what package.json does, and says truly where each package is imported.
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { importersOf, readSourceImports } from '../helpers/source-imports.ts';

const manifest: Record<'scripts' | 'dependencies' | 'devDependencies', Record<string, string>> = JSON.parse(
  readFileSync('package.json', 'utf8'),
);
const page = readFileSync('docs/dependencies.md', 'utf8');
const [programs = '', building = ''] = page.split('## To build and test');
const imports = readSourceImports();

/** In package.json and imported by nobody. To become empty. */
const NAMED_BY_CONTRACT = ['commander', 'execa', 'ssh2', 'yaml', 'zod', 'systeminformation', 'p-limit', 'vitest'];

interface Row {
  name: string;
  reason: string;
  /** What stands in backticks in the third column. */
  places: string[];
}

function rowsOf(text: string): Row[] {
  const lines = text.split('\n').filter((line) => line.startsWith('| `'));
  return lines.map((line) => {
    const [, name = '', reason = '', places = ''] = line.split('|').map((cell) => cell.trim());
    return {
      name: name.replaceAll('`', ''),
      reason,
      places: [...places.matchAll(/`([^`]+)`/g)].map(([, it = '']) => it),
    };
  });
}

const runtime = rowsOf(programs);
const development = rowsOf(building);
const names = (rows: readonly Row[]) => rows.map(({ name }) => name).sort();

describe('the page and package.json name the same packages', () => {
  test('dependencies', () => expect(names(runtime)).toEqual(Object.keys(manifest.dependencies).sort()));
  test('devDependencies', () => expect(names(development)).toEqual(Object.keys(manifest.devDependencies).sort()));
  test('with those that were asked for', () => {
    expect(names([...runtime, ...development])).toEqual(expect.arrayContaining(NAMED_BY_CONTRACT));
  });
  test.each([...runtime, ...development])('$name has a reason', ({ reason }) => {
    expect(reason.length).toBeGreaterThan(10);
  });
});

describe('what the programs import', () => {
  test.each(runtime)('$name', ({ name, places }) => {
    const importers = importersOf(imports, name);
    const under = (place: string) => (file: string) => file === place || file.startsWith(`${place}/`);
    expect(importers).not.toEqual([]);
    expect(importers.filter((file) => !places.some((place) => under(place)(file)))).toEqual([]);
    expect(places.filter((place) => !importers.some(under(place)))).toEqual([]);
  });

  test('nothing that package.json does not name', () => {
    const imported = [...imports.values()].flat().flatMap((one) => one.package ?? []);
    expect([...new Set(imported)].filter((name) => !(name in manifest.dependencies))).toEqual([]);
  });
});

describe('what building and testing uses', () => {
  test.each(development)('$name', ({ places }) => {
    expect(places).not.toEqual([]);
    for (const place of places) {
      const script = /^npm (?:run )?(\S+)$/.exec(place)?.[1];
      expect(script === undefined ? existsSync(place) : script in manifest.scripts, place).toBe(true);
    }
  });

  test.each([
    ['esbuild', 'scripts/build.mjs', "from 'esbuild'"],
    ['@biomejs/biome', 'package.json', '"lint": "biome'],
    ['typescript', 'package.json', '"typecheck": "tsc'],
    ['vitest', 'package.json', '"test": "vitest'],
    ['fast-check', 'test/network/address.test.ts', "from 'fast-check'"],
    ['@types/node', 'tsconfig.json', '"types": ["node"]'],
    ['@types/ssh2', 'src/cli/ssh/builtin.ts', "from 'ssh2'"],
  ])('%s in %s', (_name, file, words) => {
    expect(readFileSync(file, 'utf8')).toContain(words);
  });
});
