// `renet`: dispatch only. Each command is loaded when it is asked for. Where it is installed, `connect` does not even
// come here: the launcher starts connect.mjs (connect-program.ts).
import { endProcess } from './end-process.ts';
import { AGENT_SOCKET } from './layout.ts';

const USAGE =
  'usage: renet daemon [--socket PATH] | connect | stdio | selftest | install-units | unit down GUID | unit autostart | --version\n' +
  '       inside a repository: renet compose -- ARGS | renet wait SERVICE… [--timeout 60s]\n';

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
    case 'compose':
    case 'wait':
      return (await import('./compose-command.ts')).composeCommand([verb, ...args]);
    case '--version':
      process.stdout.write(`${(await import('./agent-version.ts')).agentVersion}\n`);
      return 0;
    default:
      process.stderr.write(USAGE);
      return 2;
  }
}

main(process.argv.slice(2)).then(
  (code) => (code === undefined ? undefined : endProcess(code)),
  (error: unknown) => {
    process.stderr.write(`renet: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    return endProcess(1);
  },
);
