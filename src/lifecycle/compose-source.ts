// What reading the compose files of a repository starts from, and the variables that a directory of it has.
import { posix } from 'node:path';
import type { Finding } from '../network/finding.ts';
import { plainVariables } from '../network/interpolate.ts';
import type { Tree } from '../network/yaml-tree.ts';
import type { System } from './system.ts';

export interface ComposeSource {
  system: System;
  /** Absolute; nothing outside is read. */
  mountPoint: string;
  /** What functions have in their environment; it comes before .env. */
  env: Readonly<Record<string, string>>;
  /** What compose will complain about, or what could not be told. */
  findings: Finding[];
  /** Counts what was read: includes that include the same files again and again would never end. */
  reads: { count: number };
}

/** Files read one over the other, as with several -f. */
export interface ComposeProject {
  /** Absolute. */
  files: readonly string[];
  directory: string;
  env: Readonly<Record<string, string>>;
  /** The include that named them. */
  namedBy?: Tree;
  /** Files whose includes led here: one of them again is a circle. */
  within: readonly string[];
}

const MAX_ENV_BYTES = 1024 ** 2;

/** `.env` of a directory under what is set already (compose-go: Mapping.Merge keeps what is there). */
export async function directoryEnv(
  { system, mountPoint, env }: ComposeSource,
  directory: string,
  files: readonly string[],
): Promise<Record<string, string>> {
  let found: Record<string, string> = {};
  for (const file of files) {
    const read = await system.readInside(mountPoint, posix.resolve(directory, file), MAX_ENV_BYTES);
    if ('text' in read) found = { ...found, ...plainVariables(read.text) };
  }
  return { ...found, PWD: directory, ...env };
}
