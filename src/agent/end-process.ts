// How the programs of the agent end: nothing that was written is lost, and no open stdin keeps them.

/** Ends the process once stdout and stderr have taken everything; one whose reader is gone takes nothing. */
export async function endProcess(code: number): Promise<void> {
  await Promise.all([flushed(process.stdout), flushed(process.stderr)]);
  process.exit(code);
}

function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    stream.once('error', () => resolve());
    stream.write('', () => resolve());
  });
}
