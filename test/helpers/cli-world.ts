// A workstation with one context "production" and model machines in it, ready for commands.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FakeMachine } from './fake-agent.ts';
import { type CliResult, type CliWorld, HOST_KEY, runCli, temporaryDirectory } from './run-cli.ts';

export interface Workstation {
  configDir: string;
  machines: Record<string, FakeMachine>;
  /** The first machine. */
  machine: FakeMachine;
  rdc(argv: string | readonly string[], extra?: Partial<CliWorld>): Promise<CliResult>;
  /** Same, and it must succeed. */
  done(argv: string | readonly string[], extra?: Partial<CliWorld>): Promise<CliResult>;
}

export function workstation(...names: string[]): Workstation {
  const configDir = temporaryDirectory();
  const machines = Object.fromEntries(names.map((name) => [name, new FakeMachine()]));
  const records = Object.fromEntries(
    names.map((name, index) => [name, { ip: `203.0.113.${index + 50}`, user: 'deploy', hostKeys: [HOST_KEY.key] }]),
  );
  const config = { version: 1 as const, current: 'production', contexts: { production: { machines: records } } };
  writeFileSync(join(configDir, 'config.json'), JSON.stringify(config));
  const rdc: Workstation['rdc'] = (argv, extra = {}) =>
    runCli(typeof argv === 'string' ? argv.split(' ') : argv, { configDir, machines, ...extra });
  return {
    ...{ configDir, machines, rdc },
    machine: machines[names[0] ?? ''] ?? new FakeMachine(),
    async done(argv, extra) {
      const result = await rdc(argv, extra);
      if (result.exitCode !== 0) throw new Error(`"${String(argv)}" ended with ${result.exitCode}: ${result.stderr}`);
      return result;
    },
  };
}
