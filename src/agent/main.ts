// `renet`: dispatch only. Each command is loaded when it is asked for, so that `connect` stays small.
import { AGENT_SOCKET } from './layout.ts';

const USAGE = 'usage: renet daemon | connect | stdio | selftest | install-units | unit down GUID | --version\n';

async function main([verb, ...args]: readonly string[]): Promise<number | undefined> {
  switch (verb) {
    case 'connect':
      return (await import('./connect.ts')).connect(AGENT_SOCKET);
    case 'daemon':
      await (await import('./daemon.ts')).runDaemon();
      return undefined;
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

main(process.argv.slice(2)).then(
  (code) => {
    if (code !== undefined) process.exit(code);
  },
  (error: unknown) => {
    process.stderr.write(`renet: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    process.exit(1);
  },
);
