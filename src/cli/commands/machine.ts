// rdc machine status: what a machine is and what runs on it.
import { formatDuration } from '../../protocol/duration.ts';
import { machineNameSchema } from '../../protocol/ids.ts';
import type { OutputOf } from '../../protocol/operations.ts';
import { formatSize } from '../../protocol/size.ts';
import type { SupervisionKind } from '../../protocol/supervision.ts';
import { call, withAgent } from '../agent-run.ts';
import { defineCommand, optionalArgument } from '../command.ts';
import type { CommandContext } from '../context.ts';
import type { Paint } from '../io.ts';
import { parseWith } from '../parse.ts';
import { renderFacts, renderTime } from '../render.ts';
import { renderRepos } from '../render-repo.ts';
import { spaceText } from '../render-space.ts';
import { machineTarget } from '../target.ts';
import { machineOption } from './options.ts';

type Status = OutputOf<'machine.status'>;

const status = defineCommand({
  name: 'machine status',
  summary: 'show what a machine is and what runs on it',
  args: { name: optionalArgument('MACHINE', 'the machine', parseWith(machineNameSchema)) },
  options: { machine: machineOption },
  changes: 'nothing',
  async run(command, { name, machine }) {
    const { io } = command;
    const target = await machineTarget(command, name ?? machine);
    const found = await withAgent(command, target, (client) => call(command, client, 'machine.status', {}));
    io.printJson({ machine: target.name, ...found });
    if (io.json) return undefined;
    io.print(renderMachine(target.name, found, command.now(), io.paintOut));
    io.print(await renderRest(command, target.name, found));
    return undefined;
  },
});

/** Repositories, then what the supervisor did last. */
async function renderRest(
  { io, now, credentials }: CommandContext,
  machine: string,
  { repositories, supervision }: Status,
): Promise<string> {
  const known = await credentials.known();
  const rows = repositories.map((repo) => ({ machine, ...repo, credentialKnown: known.has(repo.guid) }));
  const parts = [
    ...(rows.length === 0 ? [] : [await renderRepos(rows, now(), io.paintOut)]),
    ...(supervision.events.length === 0 ? [] : [renderEvents(supervision.events, io.paintOut)]),
  ];
  return parts.map((part) => `\n${part}`).join('\n');
}

/** The newest ones, oldest first; --json has all that the machine remembers. */
const SHOWN_EVENTS = 10;

function renderEvents(events: Status['supervision']['events'], paint: Paint): string {
  const head = paint.dim('WHAT THE SUPERVISOR DID');
  const lines = events
    .slice(0, SHOWN_EVENTS)
    .toReversed()
    .map(({ at, kind, message }) => `${renderTime(at)}  ${paintEvent(kind, message, paint)}`);
  return [head, ...lines].join('\n');
}

function paintEvent(kind: SupervisionKind, message: string, paint: Paint): string {
  if (kind === 'needs-attention' || kind === 'failed' || kind === 'notify-failed') return paint.red(message);
  return message;
}

function renderMachine(name: string, status: Status, now: number, paint: Paint): string {
  const { hostname, os, kernel, uptimeSeconds, agent, datastore, registryMirrors, supervision } = status;
  const agentUp = formatDuration(Math.max(0, now - agent.startedAt));
  const pool =
    datastore === undefined
      ? 'none yet: rdc context setup-machine'
      : `${datastore.path} (${datastore.filesystem}), ${spaceText(datastore, paint)}`;
  return renderFacts(
    [
      ['machine', hostname === name ? name : `${name} (${hostname})`],
      ['system', `${os}, kernel ${kernel}, up ${formatDuration(uptimeSeconds * 1000)}`],
      ['datastore', pool],
      [
        'reserve',
        datastore?.reserveBytes === 0 ? paint.yellow('none: the datastore is full, or has no room for it') : undefined,
      ],
      [
        'agent',
        `${agent.version}, up ${agentUp}, ${formatSize(agent.residentBytes)} of memory, node ${agent.node}, pid ${agent.pid}`,
      ],
      ['supervision', supervision.enabled ? undefined : paint.yellow('off')],
      ['notify command', supervision.notifyCommand ?? undefined],
      ['needs attention', supervision.attention === undefined ? undefined : paint.red(supervision.attention.reason)],
      ['registry mirrors', registryMirrors.length === 0 ? undefined : registryMirrors.join(', ')],
    ],
    paint,
  );
}

export const MACHINE_COMMANDS = [status];
