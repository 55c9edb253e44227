// `renet`: dispatch only. Each command is loaded when it is asked for, so that `connect` stays small.
import { AGENT_SOCKET } from './layout.ts';

const USAGE =
  'usage: renet daemon [--socket PATH] | connect | stdio | selftest | install-units | unit down GUID | --version\n';

/** The exit code; undefined: it runs until it is told to end. */
async function main([verb, ...args]: readonly string[]): Promise<number | undefined> {
  switch (verb) {
    case 'connect':
      return (await import('./connect.ts')).connect(AGENT_SOCKET);
    case 'daemon':
      return (await import('./daemon.ts')).runDaemon(args);
    case 'stdio':
      return (await import('./stdio.ts')).serveStdio();
    case 'selftest':
      return (await import('./selftest.ts')).selftest();
    case 'install-units':
      return (await import('./install-units.ts')).installUnitsCommand();
    case 'unit':
      return (await import('./unit-command.ts')).unitCommand(args);
    case '--version':
      process.stdout.write(`${(await import('./agent-version.ts')).agentVersion}\n`);
      return 0;
    default:
      process.stderr.write(USAGE);
      return 2;
  }
}

/** What is still on its way to a slow reader; one that is gone gets nothing. */
function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    stream.once('error', () => resolve());
    stream.write('', () => resolve());
  });
}

async function end(code: number): Promise<void> {
  await Promise.all([flushed(process.stdout), flushed(process.stderr)]);
  // Said outright: a stdin that nobody closes would keep the process.
  process.exit(code);
}

main(process.argv.slice(2)).then(
  (code) => (code === undefined ? undefined : end(code)),
  (error: unknown) => {
    process.stderr.write(`renet: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    return end(1);
  },
);
