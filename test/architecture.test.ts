// Which room may know which (docs/architecture.md), who loads what is heavy, and what ends up in the two bundles.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { builtinModules } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Metafile } from 'esbuild';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  importersOf,
  importsOf,
  readSourceImports,
  type SourceImport,
  type SourceImports,
} from './helpers/source-imports.ts';

const imports = readSourceImports();

const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  'src/protocol': [],
  'src/network': ['src/protocol'],
  'src/lifecycle': ['src/protocol', 'src/network'],
  // The unit files are bundled as text.
  'src/agent': ['src/protocol', 'src/network', 'src/lifecycle', 'systemd'],
  'src/cli': ['src/protocol'],
};
const roomOf = (path: string) => /^(src\/[^/]+|systemd)\//.exec(path)?.[1] ?? 'outside';

/** Imports that leave their room for one that it must not know. Types count: who names a thing knows it. */
function trespasses(sources: SourceImports): string[] {
  return [...sources].flatMap(([file, list]) => {
    const room = roomOf(file);
    const ours = list.filter((one) => one.package === undefined && !one.target.startsWith('node:'));
    const strange = ours.filter(({ target }) => ![room, ...(ALLOWED[room] ?? [])].includes(roomOf(target)));
    return strange.map(({ target }) => `${file} -> ${target}`);
  });
}

/** Files that need each other to be loaded, types aside: "a -> b -> a". */
function cycles(sources: SourceImports): string[] {
  const found: string[] = [];
  const finished = new Set<string>();
  const visit = (file: string, path: readonly string[]): void => {
    if (finished.has(file)) return;
    const start = path.indexOf(file);
    if (start >= 0) {
      found.push([...path.slice(start), file].join(' -> '));
      return;
    }
    for (const { target, kind } of sources.get(file) ?? []) if (kind !== 'type') visit(target, [...path, file]);
    finished.add(file);
  };
  for (const file of sources.keys()) visit(file, []);
  return found;
}

/** What is loaded as soon as a file is: files of ours and packages, without what waits behind `await import()`. */
function loadedWith(sources: SourceImports, file: string): { files: string[]; packages: string[] } {
  const files = new Set<string>();
  const packages = new Set<string>();
  const visit = (path: string): void => {
    if (files.has(path)) return;
    files.add(path);
    for (const one of (sources.get(path) ?? []).filter(({ kind }) => kind === 'static')) {
      if (one.package !== undefined) packages.add(one.package);
      else if (sources.has(one.target)) visit(one.target);
    }
  };
  visit(file);
  return { files: [...files].sort(), packages: [...packages].sort() };
}

function sources(texts: Record<string, string>): SourceImports {
  return new Map(Object.entries(texts).map(([path, text]): [string, SourceImport[]] => [path, importsOf(path, text)]));
}

describe('rooms', () => {
  test('every file is in a room', () => {
    expect(imports.size).toBeGreaterThan(200);
    expect([...imports.keys()].filter((file) => ALLOWED[roomOf(file)] === undefined)).toEqual([]);
  });
  test('know only the rooms that they may', () => expect(trespasses(imports)).toEqual([]));

  test.each([
    ['src/protocol/a.ts', "import { x } from '../network/b.ts';"],
    ['src/network/a.ts', "import type { X } from '../lifecycle/b.ts';"],
    ['src/lifecycle/a.ts', "export * from '../agent/b.ts';"],
    ['src/agent/a.ts', "const x = await import('../cli/b.ts');"],
    ['src/cli/a.ts', "type X = typeof import('../lifecycle/b.ts');"],
    ['src/cli/commands/a.ts', "import {\n  x,\n} from '../../agent/b.ts';"],
    ['src/cli/a.ts', "import '../../test/b.ts';"],
  ])('control: %s with %s is found', (file, text) => expect(trespasses(sources({ [file]: text }))).toHaveLength(1));

  test('control: what is allowed, and what only looks like an import', () => {
    const text = `// import x from '../cli/b.ts'\nconst s = "import y from '../cli/b.ts'";\nimport z from '../lifecycle/c.ts';`;
    expect(trespasses(sources({ 'src/agent/a.ts': text }))).toEqual([]);
  });
});

describe('cycles', () => {
  test('there are none', () => expect(cycles(imports)).toEqual([]));

  test('control: a circle is found, types alone make none', () => {
    const b = "export const later = () => import('./c.ts');";
    const c = "import './a.ts';";
    expect(cycles(sources({ 'src/cli/a.ts': "import './b.ts';", 'src/cli/b.ts': b, 'src/cli/c.ts': c }))).toEqual([
      'src/cli/a.ts -> src/cli/b.ts -> src/cli/c.ts -> src/cli/a.ts',
    ]);
    const erased = sources({ 'src/cli/a.ts': "import './c.ts';", 'src/cli/c.ts': "import type { A } from './a.ts';" });
    expect(cycles(erased)).toEqual([]);
  });
});

describe('packages have few importers', () => {
  test.each([
    ['commander', ['src/cli/program.ts']],
    ['@inquirer/prompts', ['src/cli/ask.ts']],
    ['cli-table3', ['src/cli/render.ts']],
    ['log-update', ['src/cli/screen.ts']],
    ['picocolors', ['src/cli/io.ts']],
    ['ssh2', ['src/cli/ssh/builtin-auth.ts', 'src/cli/ssh/builtin.ts', 'src/cli/ssh/host-keys.ts']],
    ['execa', ['src/cli/playground/exec.ts', 'src/cli/playground/file-lock.ts']],
    ['systeminformation', ['src/agent/host-info.ts']],
    [
      'p-limit',
      [
        'src/agent/interrupted-boot.ts',
        'src/agent/machine-autostart.ts',
        'src/agent/new-repo.ts',
        'src/agent/repo-all.ts',
        'src/agent/repo-store.ts',
        'src/agent/upgrade.ts',
      ],
    ],
    ['yaml', ['src/network/yaml-text.ts', 'src/network/yaml-tree.ts']],
    [
      'vscode-jsonrpc',
      [
        'src/agent/autostart-unit.ts',
        'src/agent/rpc-session.ts',
        'src/cli/ssh/agent-link.ts',
        'src/cli/ssh/bounded-reader.ts',
        'src/cli/ssh/run-followers.ts',
        'src/protocol/rpc.ts',
      ],
    ],
  ])('%s', (name, files) => expect(importersOf(imports, name)).toEqual(files));

  test('lifecycle uses none at all', () => {
    const used = [...imports].filter(([file]) => file.startsWith('src/lifecycle/')).flatMap(([, list]) => list);
    expect(used.filter((one) => one.package !== undefined)).toEqual([]);
  });

  test('programs are started on the server by these alone', () => {
    const starters = importersOfNode('node:child_process').filter((file) => !file.startsWith('src/cli/'));
    expect(starters).toEqual([
      'src/agent/compose-command.ts',
      'src/agent/compose-stream.ts',
      'src/agent/lock.ts',
      'src/agent/rsync-stream.ts',
      'src/agent/run-command.ts',
      'src/agent/uploaded-owners.ts',
    ]);
  });
});

function importersOfNode(name: string): string[] {
  return [...imports].filter(([, list]) => list.some(({ target }) => target === name)).map(([file]) => file);
}

describe('what starting loads', () => {
  test('rdc --version: nothing', () => {
    expect(loadedWith(imports, 'src/cli/main.ts')).toEqual({ files: ['src/cli/main.ts'], packages: [] });
  });
  test('rdc --help: the parser and colours', () => {
    expect(loadedWith(imports, 'src/cli/run.ts').packages).toEqual(['commander', 'picocolors']);
  });
  test('every command: zod as well', () => {
    expect(loadedWith(imports, 'src/cli/context.ts').packages).toEqual(['picocolors', 'zod']);
  });
  test('renet connect: nothing', () => {
    expect(loadedWith(imports, 'src/agent/main.ts').packages).toEqual([]);
    expect(loadedWith(imports, 'src/agent/connect.ts').packages).toEqual([]);
  });
  test('renet daemon: not what only questions need', () => {
    const { packages } = loadedWith(imports, 'src/agent/daemon.ts');
    expect(packages).toEqual(['p-limit', 'vscode-jsonrpc', 'yaml', 'zod']);
  });

  test('control: a package behind another file is found', () => {
    const files = { 'src/cli/a.ts': "import './b.ts';", 'src/cli/b.ts': "import ssh2 from 'ssh2';" };
    expect(loadedWith(sources(files), 'src/cli/a.ts').packages).toEqual(['ssh2']);
  });
});

type Output = Metafile['outputs'][string];

describe('the bundles', () => {
  let directory: string;
  let agent: Metafile;
  let cli: Metafile;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'rdc-bundles-'));
    // A module without types, so its name is one that the compiler does not look up.
    const { buildAll } = await import(new URL('../scripts/build.mjs', import.meta.url).href);
    ({ agent, cli } = await buildAll(directory));
  }, 60_000);
  afterAll(() => rm(directory, { recursive: true, force: true }));

  const packagesIn = (outputs: readonly Output[]) => {
    const inputs = outputs.flatMap((output) => Object.entries(output.inputs));
    const used = inputs.filter(([, { bytesInOutput }]) => bytesInOutput > 0).map(([path]) => path);
    const names = used.map((path) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1]);
    return new Set(names.filter((name) => name !== undefined));
  };
  const all = (meta: Metafile) => Object.values(meta.outputs);
  /** A piece and those that it loads at once. */
  const startOf = (meta: Metafile, end: string) => {
    const found = new Map<string, Output>();
    const visit = (path: string): void => {
      const output = meta.outputs[path];
      if (output === undefined || found.has(path)) return;
      found.set(path, output);
      for (const { path: next, kind } of output.imports) if (kind === 'import-statement') visit(next);
    };
    visit(Object.keys(meta.outputs).find((path) => path.endsWith(end)) ?? end);
    return found;
  };

  test('renet.mjs has nothing that only the workstation needs', () => {
    const strange = ['ssh2', 'commander', '@inquirer/core', 'cli-table3', 'log-update', 'picocolors', 'execa'];
    const [inAgent, inCli] = [packagesIn(all(agent)), packagesIn(all(cli))];
    expect(strange.filter((name) => inAgent.has(name))).toEqual([]);
    // Control: they are found where they are.
    expect(strange.filter((name) => !inCli.has(name))).toEqual([]);
  });

  test('renet.mjs is one file that imports nothing but Node', () => {
    expect(Object.keys(agent.outputs)).toHaveLength(1);
    const external = all(agent).flatMap((output) => output.imports.map(({ path }) => path.replace(/^node:/, '')));
    // systeminformation tries these on macOS, and does without where they are missing.
    const known = [...builtinModules, 'osx-temperature-sensor', 'macos-temperature-sensor'];
    expect(external.filter((name) => !known.includes(name))).toEqual([]);
  });

  test('renet.mjs has not a trace of the fault hook, which a test build has', async () => {
    const hook = 'src/agent/fault-hook.ts';
    const trace = /fault\.json|__FAULT_HOOK__|withFaultHook/;
    const bytesOf = (meta: Metafile) => all(meta).map(({ inputs }) => inputs[hook]?.bytesInOutput ?? 0);
    expect(bytesOf(agent)).toEqual([0]);
    expect(await readFile(join(directory, 'renet.mjs'), 'utf8')).not.toMatch(trace);
    // Control.
    const { buildAgent } = await import(new URL('../scripts/build.mjs', import.meta.url).href);
    const { metafile } = await buildAgent(join(directory, 'faults'), { faults: true });
    expect(bytesOf(metafile)[0]).toBeGreaterThan(100);
    expect(await readFile(join(directory, 'faults/renet.mjs'), 'utf8')).toMatch(trace);
  });

  test('rdc has nothing that only the server needs', () => {
    const strange = ['systeminformation', 'yaml', 'p-limit'];
    const [inAgent, inCli] = [packagesIn(all(agent)), packagesIn(all(cli))];
    expect(strange.filter((name) => inCli.has(name))).toEqual([]);
    expect(strange.filter((name) => !inAgent.has(name))).toEqual([]);
  });

  test('rdc --version loads one small piece', () => {
    const pieces = startOf(cli, 'rdc/main.js');
    expect(pieces.size).toBeGreaterThan(0);
    expect([...packagesIn([...pieces.values()])]).toEqual([]);
    expect([...pieces.values()].reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThan(16_000);
    // Control: the same walk finds ssh2 behind an import that waits.
    const lazy = all(cli).flatMap((output) => output.imports.filter(({ kind }) => kind === 'dynamic-import'));
    const behind = lazy.filter(({ path }) => packagesIn([...startOf(cli, path).values()]).has('ssh2'));
    expect(behind.length).toBeGreaterThan(0);
  });
});
