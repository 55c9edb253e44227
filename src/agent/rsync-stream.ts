// File transfer: rsync's server side inside one mounted repository, its stdin and stdout joined to the client's.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { statfs } from 'node:fs/promises';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { command } from '../lifecycle/command.ts';
import type { System } from '../lifecycle/system.ts';
import { RdcError, toWireError } from '../protocol/errors.ts';
import type { RsyncStream } from '../protocol/hello.ts';
import { type StreamEnd, StreamFramer } from '../protocol/stream-frames.ts';
import { type HoldDeps, heldOpen, type Serve } from './held-open.ts';
import { keepTail } from './output-tail.ts';
import { openWorkbench, type Workbench } from './repo-workbench.ts';
import { parseRsyncArgv, type RsyncServer } from './rsync-argv.ts';
import { findPlace } from './rsync-place.ts';
import { type RsyncPlace, sandboxedRsync, type TransferUnit } from './rsync-sandbox.ts';
import { SEARCH_PATH } from './run-command.ts';
import { giveToDirectoryOwners } from './uploaded-owners.ts';

export interface TransferDeps extends HoldDeps {
  system: System;
  log(message: string): void;
}

/** Bytes: with less than this even a directory may not find room. */
const SMALLEST_ROOM = 64 * 1024;

/** Milliseconds that rsync has to end by itself when its client is gone. */
const FAREWELL_MS = 15_000;

/** Refuses what can be refused; the answer moves the bytes and frees the repository at the end. */
export async function openRsync(stream: RsyncStream, deps: TransferDeps): Promise<Serve> {
  const server = parseRsyncArgv(stream.argv);
  const bench = await openWorkbench(deps, stream.repo);
  return heldOpen(bench, 'file transfer', deps, async () => {
    await requireOpen(bench);
    await requireRsync(deps.system);
    const { mountPoint } = bench.target.paths;
    const place = { target: bench.target, ...(await findPlace(mountPoint, stream.directory, server.sender)) };
    return (socket) => transfer(socket, place, server, deps);
  });
}

async function requireOpen({ record, observe }: Workbench): Promise<void> {
  if ((await observe()).mounted) return;
  throw new RdcError('FAILED', `repository "${record.name}" is closed`, { hint: `rdc repo mount ${record.name}` });
}

/** Here, and not by a transfer that breaks off without a reason. Throws TOOL_MISSING. */
async function requireRsync(system: System): Promise<void> {
  await system.run(command('rsync', '--version'));
}

async function transfer(socket: Duplex, place: RsyncPlace, server: RsyncServer, deps: TransferDeps): Promise<void> {
  const since = Date.now();
  const { existing, missing, target } = place;
  const framer = new StreamFramer();
  const sent = pipeline(framer, socket, { end: false });
  try {
    const end = await carry({ socket, framer }, sandboxedRsync(place, server), deps);
    // Also after one that broke off: what has arrived is there.
    if (!server.sender && !server.dryRun) {
      await giveToDirectoryOwners({ mountPoint: target.paths.mountPoint, existing, missing, since });
    }
    const hasNoRoom = end.exitCode !== 0 && !server.sender && (await isFull(target.paths.mountPoint));
    framer.finish(transferEnd(end, target.name, hasNoRoom));
  } catch (error) {
    const wire = toWireError(error);
    deps.log(`file transfer of ${target.guid}: ${wire.message}`);
    framer.finish({ exitCode: 1, error: wire });
  }
  // The client may be gone; that is its affair.
  await sent.catch(() => undefined);
}

interface TransferEnd {
  exitCode: number;
  /** The end of its stderr. */
  said: string;
}

interface Line {
  socket: Duplex;
  framer: StreamFramer;
}

/** Resolves when the unit has ended. The socket stays open: the client's rsync waits for its end, so owners are right by then. */
async function carry(
  { socket, framer }: Line,
  { unit, run }: TransferUnit,
  { system, log }: TransferDeps,
): Promise<TransferEnd> {
  const child = spawn(run.file, run.args, { stdio: 'pipe', env: { PATH: SEARCH_PATH, LC_ALL: 'C' } });
  const said = keepTail(child.stderr);
  let farewell: NodeJS.Timeout | undefined;
  const onGone = () => {
    child.stdin.destroy();
    child.stdout.destroy();
    // Ending our client of it would leave the unit.
    const stop = () => system.run({ ...command('systemctl', 'stop', unit), allow: [5] });
    farewell = setTimeout(() => void stop().catch((error: unknown) => log(String(error))), FAREWELL_MS);
  };
  // Whoever stops listening is told by its exit code.
  child.stdin.on('error', () => undefined);
  child.stdout.on('error', () => undefined);
  socket.pipe(child.stdin);
  child.stdout.pipe(framer, { end: false });
  socket.once('close', onGone);
  if (socket.destroyed) onGone();
  try {
    const [code] = (await once(child, 'close')) as [number | null];
    if (code !== 0) log(`${unit} ended with ${code ?? 'a signal'}: ${said().trim()}`);
    return { exitCode: code ?? 1, said: said().trim() };
  } finally {
    clearTimeout(farewell);
    socket.off('close', onGone);
  }
}

/** rsync does not always say why it could not write. */
async function isFull(mountPoint: string): Promise<boolean> {
  const { bfree, bsize, ffree } = await statfs(mountPoint);
  return ffree === 0 || bfree * bsize < SMALLEST_ROOM;
}

/** What rsync tells its client by itself needs no second word; the rest does. Codes: EXIT VALUES of rsync(1). */
function transferEnd({ exitCode, said }: TransferEnd, name: string, hasNoRoom: boolean): StreamEnd {
  if (exitCode === 0) return { exitCode };
  if (hasNoRoom || /No space left on device|Disk quota exceeded/.test(said)) {
    const full = new RdcError('NO_SPACE', `repository "${name}" is full`, {
      hint: `rdc repo status ${name}`,
      cause: said,
    });
    return { exitCode, error: toWireError(full) };
  }
  if (said.includes('rsync error:') || exitCode >= 10) return { exitCode };
  return {
    exitCode,
    error: toWireError(new RdcError('FAILED', 'the file transfer could not be started', { cause: said })),
  };
}
