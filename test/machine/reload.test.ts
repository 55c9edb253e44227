// Anybody may let systemd read its units again, at any moment: packages do when they are installed. What is about to begin begins.
import { existsSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { liveInNamespaces, namespaceImage } from '../helpers/systemd-in-namespaces.ts';

test('a function that waits for its unit while units are read again; control: a doubled dollar stays doubled', async () => {
  const { directory, said } = await liveInNamespaces(await namespaceImage(), 'reload.sh');
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const told = async (file: string) => {
    const path = join(directory, file);
    return existsSync(path) ? await readFile(path, 'utf8') : `no ${file}: ${said}`;
  };
  expect(await told('doubled')).toMatch(/^\d+one\n$/);
  expect(await told('told')).toMatch(/down: done/);
  expect(await told('called')).toBe('down of 2816\n');
});
