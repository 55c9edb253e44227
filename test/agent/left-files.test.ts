// Temporary files: those of a process that is gone are removed, those of one that is there are not.
import { once } from 'node:events';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { removeAbandoned, writeFileAtomic } from '../../src/agent/atomic-file.ts';
import { removeLeftFiles } from '../../src/agent/left-files.ts';
import { createLinuxSystem } from '../../src/agent/linux-system.ts';
import { acquireLock } from '../../src/agent/lock.ts';
import { identifyProcess } from '../../src/agent/process-identity.ts';
import { GUID, temporaryDirectory, until } from './harness.ts';
import { bundle, run } from './process.ts';

const OTHER = '22222222-2222-4222-8222-222222222222';

test('what a writer that was killed has left goes with the next write of the file, or when the directory is looked at', async () => {
  const directory = await temporaryDirectory();
  const script = await bundle('atomic-writer.ts', directory);
  const files = await mkdir(join(directory, 'files'), { recursive: true }).then(() => join(directory, 'files'));
  const temporaries = () => readdirSync(files).filter((name) => name.endsWith('.tmp'));
  for (const [name, sweep] of [
    ['a.json', () => writeFileAtomic(join(files, 'a.json'), 'new', 0o600)],
    ['b.json', () => removeAbandoned(files)],
  ] as const) {
    const writer = run(script, [join(files, name)]);
    await until(() => temporaries().length === 1);
    // Control: while its writer is there it is left alone.
    await sweep();
    expect(temporaries()).toHaveLength(1);
    const ended = once(writer.child, 'close');
    writer.child.kill('SIGKILL');
    await ended;
    await writeFileAtomic(join(files, 'another.json'), '', 0o600);
    expect(temporaries()).toHaveLength(1);
    await sweep();
    expect(temporaries()).toEqual([]);
  }
});

test('a name that only looks like one of ours stays', async () => {
  const directory = await temporaryDirectory();
  const self = await identifyProcess(process.pid);
  const names = ['notes.tmp', 'a.json.0123456789ab.tmp', `a.json.1-${self?.startTicks}.0123456789ab.tmp.bak`];
  for (const name of names) writeFileSync(join(directory, name), '');
  expect(await removeAbandoned(directory)).toEqual([]);
});

test('drafts in the datastore go, but not those of a repository that somebody holds', async () => {
  const directory = await temporaryDirectory();
  const lockDir = join(directory, 'locks');
  const drafts = [
    [`.state/${GUID}.luks-header.new`, `.state/${OTHER}.luks-header.new`],
    [`.credentials/keys/${GUID}.key.new`, `.credentials/keys/${OTHER}.key.new`],
    [`repositories/${GUID}.probe-copy`, `repositories/${OTHER}.probe`],
  ].flat();
  const kept = [`.state/${GUID}.luks-header`, `.credentials/keys/${GUID}.key`, `repositories/${GUID}`, '.state/a.new'];
  for (const path of [...drafts, ...kept]) {
    await mkdir(join(directory, path, '..'), { recursive: true });
    await writeFile(join(directory, path), '');
  }
  const owner = { operation: 'repo fork', actor: 'anna' };
  const lock = await acquireLock({ directory: lockDir, key: OTHER, subject: '"other"', owner, waitMs: 0 });
  const sweep = () => removeLeftFiles({ system: createLinuxSystem(), lockDir, datastore: directory, directories: [] });
  expect((await sweep()).sort()).toEqual(
    drafts
      .filter((path) => path.includes(GUID))
      .map((path) => join(directory, path))
      .sort(),
  );
  await lock.release();
  await sweep();
  expect([...drafts, ...kept].filter((path) => existsSync(join(directory, path)))).toEqual(kept);
});
