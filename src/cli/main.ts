// The program `rdc`. The only file that touches the process: arguments, streams, signals, exit code.
declare const __RDC_VERSION__: string;

await main(process.argv.slice(2));

async function main(argv: readonly string[]): Promise<void> {
  const [first, ...others] = argv;
  if ((first === '--version' || first === '-V') && others.length === 0) {
    process.stdout.write(`${__RDC_VERSION__}\n`);
    return;
  }
  if (first === '__rsh') {
    const { remoteShell } = await import('./rsync-shell.ts');
    process.exitCode = await remoteShell(others, process);
    return;
  }
  const [{ fileURLToPath }, { watchInterrupts }, { run }] = await Promise.all([
    import('node:url'),
    import('./interrupt.ts'),
    import('./run.ts'),
  ]);
  // A reader that has seen enough (| head) or a terminal that is gone is no failure of ours.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', leaveQuietly);
  const { signal, again } = watchInterrupts(process);
  const { stdin, stdout, stderr, env } = process;
  process.exitCode = await run(argv, {
    streams: { stdin, stdout, stderr },
    ...{ env, cwd: process.cwd(), version: __RDC_VERSION__, signal, interruptedAgain: again },
    now: () => performance.timeOrigin + performance.now(),
    // Beside the directory of this program: dist/rdc/main.js and dist/renet.mjs.
    program: [process.execPath, fileURLToPath(import.meta.url)],
    agentBundle: fileURLToPath(new URL('../renet.mjs', import.meta.url)),
  });
  // Whoever interrupts does not wait for connections to say goodbye.
  if (signal.aborted) process.exit();
}

function leaveQuietly(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE' && error.code !== 'EIO') throw error;
  process.exit(process.exitCode ?? 0);
}
