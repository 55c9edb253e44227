// `rdc repo compose`: docker compose inside one repository, its stdin, stdout and stderr joined to the client's. Whoever
// goes away, ends it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { finished, pipeline } from 'node:stream/promises';
import { command } from '../lifecycle/command.ts';
import { RdcError, toWireError } from '../protocol/errors.ts';
import type { ComposeStream } from '../protocol/hello.ts';
import { asAsides, StreamFramer, StreamUnframer } from '../protocol/stream-frames.ts';
import { sizeReader } from '../protocol/terminal.ts';
import { standaloneEnvironment } from './compose-call.ts';
import { resizeTerminal } from './compose-terminal.ts';
import { composeUnit } from './compose-unit.ts';
import { heldOpen, type Serve } from './held-open.ts';
import { openWorkbench, type Workbench } from './repo-workbench.ts';
import { findPlace } from './rsync-place.ts';
import type { TransferDeps } from './rsync-stream.ts';
import { SEARCH_PATH } from './run-command.ts';

/** Our own failure, where compose's exit code is passed on. */
const OWN_FAILURE = 125;

type Call = ReturnType<typeof composeUnit>;

/** Refuses what can be refused; the answer moves the bytes and frees the repository at the end. */
export async function openCompose(stream: ComposeStream, deps: TransferDeps): Promise<Serve> {
  const bench = await openWorkbench(deps, stream.repo);
  return heldOpen(bench, 'repo compose', deps, async () => {
    const call = await prepare(bench, stream, deps);
    return (socket) => serveCompose(socket, call, deps);
  });
}

async function prepare(
  { record, target, settings, observe }: Workbench,
  stream: ComposeStream,
  { system }: TransferDeps,
) {
  if ((await observe()).units.docker.active !== 'active') {
    throw new RdcError('FAILED', `the docker daemon of repository "${record.name}" does not run`, {
      hint: `rdc repo up ${record.name}`,
    });
  }
  const { existing } = await findPlace(target.paths.mountPoint, stream.directory, true);
  const [first = ''] = existing.slice(target.paths.mountPoint.length + 1).split('/');
  const environment = await standaloneEnvironment(system, target, first);
  return composeUnit({
    target,
    directory: existing,
    environment,
    words: stream.words,
    terminal: stream.terminal,
    host: settings.host,
  });
}

/** Joins the unit to the client and tells at the end how it ended. It never rejects. */
export async function serveCompose(
  socket: Duplex,
  call: Call,
  deps: Pick<TransferDeps, 'system' | 'log'>,
): Promise<void> {
  const framer = new StreamFramer();
  const sent = pipeline(framer, socket, { end: false });
  try {
    framer.finish({ exitCode: await carry(socket, framer, call, deps) });
  } catch (error) {
    const wire = toWireError(error);
    deps.log(`${call.unit}: ${wire.message}`);
    framer.finish({ exitCode: OWN_FAILURE, error: wire });
  }
  // The client may be gone; that is its affair.
  await sent.catch(() => undefined);
}

/** Resolves with the exit code when the unit has ended and all of its output is in the framer. */
async function carry(
  socket: Duplex,
  framer: StreamFramer,
  { unit, run }: Call,
  deps: Pick<TransferDeps, 'system' | 'log'>,
): Promise<number> {
  const child = spawn(run.file, run.args, { stdio: 'pipe', env: { PATH: SEARCH_PATH, LC_ALL: 'C' } });
  const onAside = sizeReader((size) => {
    resizeTerminal(deps.system, unit, size).catch((error: unknown) => deps.log(String(error)));
  });
  const input = new StreamUnframer({ endsAtLastFrame: true, onAside });
  const errors = asAsides();
  let isGone = false;
  const onGone = () => {
    if (isGone) return;
    isGone = true;
    child.stdin.destroy();
    // Read on: a compose that stops its containers must not die of what it says about it.
    child.stdout.unpipe(framer).resume();
    child.stderr.unpipe(errors).resume();
    errors.destroy();
    // Ending our client of it would leave the unit.
    const stop = deps.system.run({ ...command('systemctl', 'stop', unit), allow: [5] });
    stop.catch((error: unknown) => deps.log(String(error)));
  };
  // Whoever stops reading is told by its exit code.
  child.stdin.on('error', () => undefined);
  socket.pipe(input).pipe(child.stdin);
  child.stdout.pipe(framer, { end: false });
  child.stderr.pipe(errors).pipe(framer, { end: false });
  const told = finished(errors).catch(() => undefined);
  // The client says in a frame that its input has ended: the end of the connection is its own.
  for (const event of ['end', 'close']) socket.once(event, onGone);
  if (socket.destroyed) onGone();
  try {
    const [code] = (await once(child, 'close')) as [number | null];
    await told;
    return code ?? OWN_FAILURE;
  } finally {
    for (const event of ['end', 'close']) socket.off(event, onGone);
    socket.unpipe(input);
    socket.resume();
  }
}
