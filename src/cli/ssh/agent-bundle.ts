// The agent that this rdc carries.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { RdcError } from '../../protocol/errors.ts';
import type { ServerHello } from '../../protocol/hello.ts';
import { PROTOCOL_VERSION } from '../../protocol/hello.ts';

export interface AgentBundle {
  version: string;
  /** Hex. */
  sha256: string;
  content: Buffer;
}

/** Reads the bundle built next to the CLI (dist/renet.mjs). */
export async function loadAgentBundle(path: string, version: string): Promise<AgentBundle> {
  try {
    const content = await readFile(path);
    return { version, sha256: createHash('sha256').update(content).digest('hex'), content };
  } catch (cause) {
    throw new RdcError('TOOL_MISSING', `the agent that belongs to this rdc is missing: ${path}`, {
      hint: 'install rdc again, or in a clone: npm run build',
      cause,
    });
  }
}

/** What to do about the agent that answered. "mismatch": it is newer and speaks another protocol. "broken": mine was there and did not start. */
export function judgeAgent(
  server: Pick<ServerHello, 'version' | 'bundle' | 'protocol' | 'rolledBack'>,
  mine: Pick<AgentBundle, 'version' | 'sha256'>,
): 'use' | 'replace' | 'mismatch' | 'broken' {
  if (server.bundle === mine.sha256) return 'use';
  if (server.rolledBack === mine.sha256) return 'broken';
  if (compareVersions(server.version, mine.version) <= 0) return 'replace';
  return server.protocol === PROTOCOL_VERSION ? 'use' : 'mismatch';
}

/** Order of two versions (semver 2.0.0 without build metadata): negative when `a` is older. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [parseVersion(a), parseVersion(b)];
  for (let index = 0; index < 3; index++) {
    const difference = (left.numbers[index] ?? 0) - (right.numbers[index] ?? 0);
    if (difference !== 0) return difference;
  }
  if (left.pre === right.pre) return 0;
  // A pre-release comes before its release.
  if (left.pre === '' || right.pre === '') return left.pre === '' ? 1 : -1;
  return left.pre.localeCompare(right.pre, 'en', { numeric: true });
}

function parseVersion(text: string): { numbers: number[]; pre: string } {
  const [, numbers = '', pre = ''] = /^v?(\d+(?:\.\d+)*)(?:-([^+]*))?/.exec(text) ?? [];
  return { numbers: numbers.split('.').map(Number), pre };
}
