// File transfer: rsync's server side inside one mounted repository, seeing and writing nothing but its mount.
import { spawn } from 'node:child_process';
import type { Duplex } from 'node:stream';
import { functionView } from '../lifecycle/sandbox.ts';
import type { System } from '../lifecycle/system.ts';
import type { RepoTarget } from '../lifecycle/target.ts';
import { RdcError, toWireError } from '../protocol/errors.ts';
import type { ClientHello, RsyncStream } from '../protocol/hello.ts';
import { openWorkbench } from './repo-workbench.ts';
import { parseRsyncArgv, type RsyncServer } from './rsync-argv.ts';
import { giveToDirectoryOwners } from './uploaded-owners.ts';

/** $1 is the directory inside the mount, the rest rsync's own words. An upload may go into a directory that is not there yet. */
const RECEIVE = 'mkdir -p -- "$1" && cd -- "$1" && shift && exec rsync "$@"';
const SEND = 'cd -- "$1" && shift && exec rsync "$@"';

/** `answer` sends the server's hello, with the error when there is no stream to be had. */
export async function serveRsync(
  socket: Duplex,
  hello: ClientHello,
  answer: (error?: RdcError) => void,
  system: System,
): Promise<void> {
  if (hello.session.type !== 'stream') throw new RdcError('INTERNAL', 'not a stream session');
  const { stream } = hello.session;
  const { target, server } = await prepare(system, stream);
  answer();
  const began = Date.now();
  await transfer(socket, sandboxedRsync(target, server, stream.directory), async () => {
    if (!server.sender) await giveToDirectoryOwners(target.paths.mountPoint, stream.directory, began);
  });
}

async function prepare(
  system: System,
  { repo, argv, directory }: RsyncStream,
): Promise<{ target: RepoTarget; server: RsyncServer }> {
  const bench = await openWorkbench({ system }, repo);
  const server = parseRsyncArgv(argv);
  if (directory.startsWith('/') || directory.split('/').includes('..') || /[\0\n]/.test(directory)) {
    throw new RdcError('INVALID_INPUT', `"${directory}" does not lie inside the repository`);
  }
  if (!(await bench.observe()).mounted) {
    throw new RdcError('FAILED', `repository "${bench.record.name}" is closed`, {
      hint: `rdc repo mount ${bench.record.name}`,
    });
  }
  return { target: bench.target, server };
}

function sandboxedRsync(target: RepoTarget, { sender, options }: RsyncServer, directory: string): string[] {
  const { mountPoint } = target.paths;
  const properties = [
    ...functionView(target),
    ['WorkingDirectory', mountPoint],
    ['ProtectSystem', 'strict'],
    ['ReadWritePaths', mountPoint],
    ['PrivateNetwork', 'yes'],
  ];
  return [
    '--quiet',
    '--pipe',
    '--wait',
    '--collect',
    '--service-type=exec',
    `--slice=${target.net.slice}`,
    ...properties.map(([key, value]) => `--property=${key}=${value}`),
    '/bin/sh',
    '-c',
    sender ? SEND : RECEIVE,
    'rediacc',
    directory === '' ? '.' : `./${directory}`,
    '--server',
    ...(sender ? ['--sender'] : []),
    ...options,
    '.',
    '.',
  ];
}

/** Joins the socket and the unit; `afterwards` runs when rsync has ended well, before the client sees the end. */
function transfer(socket: Duplex, args: readonly string[], afterwards: () => Promise<void>): Promise<void> {
  return new Promise((resolve) => {
    const child = spawn('systemd-run', args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
    });
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => {
      said = (said + chunk.toString('utf8')).slice(-4096);
    });
    const end = () => {
      socket.end();
      resolve();
    };
    child.once('error', (error) => {
      process.stderr.write(`rsync: ${error.message}\n`);
      end();
    });
    // Its pipes are joined to ours without ending the socket: ownership is put right first.
    child.stdin.on('error', () => undefined);
    socket.pipe(child.stdin);
    child.stdout.pipe(socket, { end: false });
    socket.once('close', () => child.kill('SIGTERM'));
    child.once('close', (code) => {
      if (code !== 0) process.stderr.write(`rsync ended with ${code ?? 'a signal'}: ${said.trim()}\n`);
      const finished = code === 0 ? afterwards() : Promise.resolve();
      finished
        .catch((error: unknown) => process.stderr.write(`ownership: ${toWireError(error).message}\n`))
        .then(end, end);
    });
  });
}
