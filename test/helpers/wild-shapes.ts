// The compose projects of test/fixtures/wild: each is a directory as people have it, and expect.json tells what must answer.
import { readdirSync, readFileSync } from 'node:fs';
import { cp, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

export const WILD = join(import.meta.dirname, '../fixtures/wild');

/** Texts may contain {owner}, the marker of the repository, and {mirror}, the registry mirror; "..." stands for any lines. */
export interface WildShape {
  name: string;
  /** All of them, whatever their profile, sorted. */
  services: string[];
  /** From the host. SERVICE:PORT and a path, then what HTTP answers; SERVICE:PORT/udp, what a datagram "ping" brings; SERVICE:PORT/tcp-open. */
  host?: Record<string, string>;
  /** ADDRESS:PORT inside the repository's namespace alone, and what HTTP answers. */
  namespace?: Record<string, string>;
  /** Service, a shell line in its container, what that prints. */
  inside?: Record<string, Record<string, string>>;
  /** Services that must not run. */
  absent?: string[];
}

export const SHAPES: readonly WildShape[] = readdirSync(WILD, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => ({ name, ...JSON.parse(readFileSync(join(WILD, name, 'expect.json'), 'utf8')) }));

/** Puts shapes into one directory as a repository has them: each with the common Rediaccfile. */
export async function layOut(shapes: readonly WildShape[], directory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  for (const { name } of shapes) {
    await cp(join(WILD, name), join(directory, name), { recursive: true });
    await rm(join(directory, name, 'expect.json'));
    await cp(join(WILD, 'Rediaccfile'), join(directory, name, 'Rediaccfile'));
  }
}
