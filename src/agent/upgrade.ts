// How a running agent takes a newer bundle: receive, checksum, self-test, swap `current`, renew the units.
// Whatever fails before the swap changes nothing; what fails after it is swapped back. The old bundle stays as
// `previous`. The first installation is the CLI's work (src/cli/ssh/bootstrap-script.ts) and leaves the same layout.
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, open, readdir, readFile, readlink, rename, rm, stat, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import pLimit from 'p-limit';
import { type Command, type CommandResult, command } from '../lifecycle/command.ts';
import { RdcError, toWireError } from '../protocol/errors.ts';
import { bundleDirectory, type Upgrade, type UpgradeReply } from '../protocol/hello.ts';
import { codeOf, orAbsent } from './linux-files.ts';

export interface UpgradeDeps {
  /** /usr/lib/rediacc */
  libDir: string;
  /** /usr/bin/renet */
  launcher: string;
  /** The Node that runs the agent: process.execPath. */
  node: string;
  /** System.run: throws on a non-zero exit. */
  run(command: Command): Promise<CommandResult>;
  /** Runs that are going on now. */
  activeRuns(): number;
  /** Stop taking sessions from the socket that systemd holds: the next one waits there for the new daemon. */
  stopAccepting(): void;
}

/**
 * Serves a session of type "upgrade". `body` holds the bytes that follow the client's hello line; the server's hello
 * must have been sent already. Never throws: the caller writes the reply as one JSON line, ends the session and, when
 * the reply says `restarted`, exits so that systemd starts the new bundle with the next connection
 * (`stopAccepting()` has been called by then, so no session can reach the old daemon after the reply).
 */
export async function receiveUpgrade(body: Readable, upgrade: Upgrade, deps: UpgradeDeps): Promise<UpgradeReply> {
  try {
    await install(body, upgrade, deps);
    const restarted = deps.activeRuns() === 0;
    if (restarted) deps.stopAccepting();
    return { upgraded: true, restarted };
  } catch (error) {
    const isFull = codeOf(error) === 'ENOSPC';
    const full = () => new RdcError('NO_SPACE', `there is no room for it in ${deps.libDir}`, { cause: error });
    return { upgraded: false, error: toWireError(isFull ? full() : error) };
  }
}

/** Of directories in which a bundle arrives; one of an agent that was killed meanwhile stays. */
const INCOMING = '.incoming.';
const LONGEST_UPLOAD_MS = 3_600_000;

/** Two workstations may bring a bundle at the same time. */
const oneAtATime = pLimit(1);

async function install(body: Readable, upgrade: Upgrade, deps: UpgradeDeps): Promise<void> {
  const versions = join(deps.libDir, 'versions');
  await mkdir(versions, { recursive: true });
  const incoming = await mkdtemp(join(deps.libDir, INCOMING));
  try {
    const bundle = join(incoming, 'renet.mjs');
    await receive(body, upgrade, bundle);
    await deps.run(command(deps.node, bundle, 'selftest'));
    await oneAtATime(async () => {
      await putInPlace(incoming, join(versions, bundleDirectory(upgrade)), upgrade.sha256);
      await changeOver(upgrade, deps);
    });
  } finally {
    await rm(incoming, { recursive: true, force: true });
  }
}

/** Writes exactly the announced bytes to `path`, through to the disk. */
async function receive(body: Readable, { bytes, sha256 }: Upgrade, path: string): Promise<void> {
  const hash = createHash('sha256');
  const file = await open(path, 'wx', 0o644);
  let left = bytes;
  try {
    for await (const chunk of body.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      const part = chunk.subarray(0, left);
      hash.update(part);
      await file.write(part);
      left -= part.length;
      if (left === 0) break;
    }
    await file.sync();
  } finally {
    await file.close();
  }
  if (left > 0) throw new RdcError('CONNECTION_LOST', 'the upload of the agent broke off');
  if (hash.digest('hex') !== sha256) throw new RdcError('FAILED', 'the uploaded agent does not match its checksum');
}

/** A directory of that name with the same content may be there from an earlier upgrade: then it stays. */
async function putInPlace(incoming: string, directory: string, sha256: string): Promise<void> {
  if ((await hashOf(join(directory, 'renet.mjs'))) === sha256) return;
  await rm(directory, { recursive: true, force: true });
  await rename(incoming, directory);
  await syncDirectory(join(directory, '..'));
  const handle = await open(directory, 'r');
  await handle.chmod(0o755).finally(() => handle.close());
}

async function changeOver(upgrade: Upgrade, { libDir, launcher, run }: UpgradeDeps): Promise<void> {
  const [current, previous] = [join(libDir, 'current'), join(libDir, 'previous')];
  const wanted = join('versions', bundleDirectory(upgrade));
  const [before, earlier] = await Promise.all([linkTarget(current), linkTarget(previous)]);
  // Whatever became of this bundle before, it is tried anew (systemd/agent-roll-back.sh).
  for (const mark of [join(wanted, 'failed-once'), 'rolled-back']) await rm(join(libDir, mark), { force: true });
  // First the way back, which the new one may need as soon as it is there. One that never served is none.
  const isProven = before !== undefined && (await isThere(join(libDir, before, 'served')));
  if (isProven && before !== wanted) await point(previous, before);
  await point(current, wanted);
  try {
    await run(command(launcher, 'install-units'));
  } catch (error) {
    if (before !== undefined) await point(current, before);
    if (earlier === undefined) await rm(previous, { force: true });
    else await point(previous, earlier);
    throw error;
  }
  await removeOthers(libDir);
}

async function isThere(path: string): Promise<boolean> {
  return (await orAbsent(stat(path))) !== undefined;
}

/** rename(2) replaces a symlink atomically; symlink(2) alone would not. */
async function point(link: string, target: string): Promise<void> {
  const temporary = `${link}.new`;
  await rm(temporary, { force: true });
  await symlink(target, temporary);
  await rename(temporary, link);
  await syncDirectory(join(link, '..'));
}

/** Only `current` and `previous` are kept, and of uploads those that may still go on. */
async function removeOthers(libDir: string): Promise<void> {
  for (const name of (await readdir(libDir)).filter((one) => one.startsWith(INCOMING))) {
    const found = await orAbsent(stat(join(libDir, name)));
    if (found !== undefined && Date.now() - found.mtimeMs > LONGEST_UPLOAD_MS) {
      await rm(join(libDir, name), { recursive: true, force: true });
    }
  }
  const kept = await Promise.all(['current', 'previous'].map((link) => linkTarget(join(libDir, link))));
  for (const name of await readdir(join(libDir, 'versions'))) {
    const path = join('versions', name);
    if (!kept.includes(path)) await rm(join(libDir, path), { recursive: true, force: true });
  }
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  await handle.sync().finally(() => handle.close());
}

async function linkTarget(path: string): Promise<string | undefined> {
  return await unlessAbsent(readlink(path));
}

async function hashOf(path: string): Promise<string | undefined> {
  const content = await unlessAbsent(readFile(path));
  return content === undefined ? undefined : createHash('sha256').update(content).digest('hex');
}

async function unlessAbsent<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
