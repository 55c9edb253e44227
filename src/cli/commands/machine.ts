// rdc machine status: what a machine is and what runs on it.
import { formatDuration } from '../../protocol/duration.ts';
import { machineNameSchema } from '../../protocol/ids.ts';
import type { OutputOf } from '../../protocol/operations.ts';
import { formatSize } from '../../protocol/size.ts';
import { call, withAgent } from '../agent-run.ts';
import { defineCommand, optionalArgument } from '../command.ts';
import type { Paint } from '../io.ts';
import { parseWith } from '../parse.ts';
import { renderFacts } from '../render.ts';
import { renderRepos } from '../render-repo.ts';
import { machineTarget } from '../target.ts';
import { machineOption } from './options.ts';

const status = defineCommand({
  name: 'machine status',
  summary: 'show what a machine is and what runs on it',
  args: { name: optionalArgument('MACHINE', 'the machine', parseWith(machineNameSchema)) },
  options: { machine: machineOption },
  changes: 'nothing',
  async run(command, { name, machine }) {
    const { io, now, credentials } = command;
    const target = await machineTarget(command, name ?? machine);
    const found = await withAgent(command, target, (client) => call(command, client, 'machine.status', {}));
    io.printJson({ machine: target.name, ...found });
    if (io.json) return undefined;
    io.print(renderMachine(target.name, found, io.paintOut));
    if (found.repositories.length === 0) return undefined;
    const known = await credentials.known();
    const rows = found.repositories.map((repo) => ({
      machine: target.name,
      ...repo,
      credentialKnown: known.has(repo.guid),
    }));
    io.print(`\n${await renderRepos(rows, now(), io.paintOut)}`);
    return undefined;
  },
});

function renderMachine(name: string, status: OutputOf<'machine.status'>, paint: Paint): string {
  const { hostname, os, kernel, uptimeSeconds, agent, datastore, registryMirrors } = status;
  const pool =
    datastore === undefined
      ? 'none yet: rdc context setup-machine'
      : `${datastore.path} (${datastore.filesystem}), ${formatSize(datastore.freeBytes)} of ${formatSize(datastore.totalBytes)} free`;
  return renderFacts(
    [
      ['machine', hostname === name ? name : `${name} (${hostname})`],
      ['system', `${os}, kernel ${kernel}, up ${formatDuration(uptimeSeconds * 1000)}`],
      ['datastore', pool],
      ['agent', `${agent.version}, ${formatSize(agent.residentBytes)} of memory, node ${agent.node}, pid ${agent.pid}`],
      ['registry mirrors', registryMirrors.length === 0 ? undefined : registryMirrors.join(', ')],
    ],
    paint,
  );
}

export const MACHINE_COMMANDS = [status];
