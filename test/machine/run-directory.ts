// One directory for a whole run of the machine tests, in which their files share what is dear to make.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  export interface ProvidedContext {
    runDirectory: string;
  }
}

let directory: string;

/** Called by vitest before the first file (globalSetup). */
export async function setup(project: TestProject): Promise<void> {
  directory = await mkdtemp(join(tmpdir(), 'rdc-machines-'));
  project.provide('runDirectory', directory);
}

/** Called by vitest after the last file. */
export async function teardown(): Promise<void> {
  await rm(directory, { recursive: true, force: true });
}
