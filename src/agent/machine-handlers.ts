// Handlers of the machine itself: preflight, setup, status, doctor.
import { reportSpace } from '../lifecycle/space.ts';
import type { System } from '../lifecycle/system.ts';
import type { OutputOf, RepoSummary } from '../protocol/operations.ts';
import { agentVersion } from './agent-version.ts';
import { observeRoom } from './datastore-reserve.ts';
import { examineMachine } from './doctor.ts';
import type { Handlers, QueryContext } from './handlers.ts';
import { observeDisk } from './host-facts.ts';
import { describeHost, type HostInfo } from './host-info.ts';
import { LOCK_DIR } from './layout.ts';
import { pruneMachine } from './machine-prune.ts';
import { type MachineRecord, readMachine } from './machine-record.ts';
import { preflight } from './preflight.ts';
import type { SupervisionLookup } from './repo-queries.ts';
import { setSupervision } from './set-supervision.ts';
import { setUpMachine } from './setup.ts';

export interface MachineDeps {
  listRepos(context: QueryContext): Promise<RepoSummary[]>;
  supervision: Pick<SupervisionLookup, 'report'>;
  /** Milliseconds since the epoch. */
  now?(): number;
  describeHost?(): Promise<HostInfo>;
  lockDir?: string;
}

type MachineHandlers = Pick<
  Handlers,
  | 'machine.preflight'
  | 'machine.setup'
  | 'machine.status'
  | 'machine.doctor'
  | 'machine.prune'
  | 'machine.set-supervision'
>;

export function machineHandlers({
  listRepos,
  supervision,
  now = Date.now,
  describeHost: describe = describeHost,
  lockDir = LOCK_DIR,
}: MachineDeps): MachineHandlers {
  return {
    'machine.preflight': ({ datastore }, { system }) => preflight(system, datastore),
    'machine.setup': (input, context) => setUpMachine(input, context, { now }),
    'machine.set-supervision': setSupervision,
    'machine.doctor': async (_input, context) => ({ checks: await examineMachine(context, { listRepos, lockDir }) }),
    'machine.prune': (input, context) => pruneMachine(input, context, { lockDir }),
    'machine.status': async (_input, context) => {
      const record = await readMachine(context.system);
      return {
        ...(await describe()),
        agent: {
          version: agentVersion,
          pid: process.pid,
          residentBytes: process.memoryUsage().rss,
          node: process.version,
          startedAt: Math.round(now() - process.uptime() * 1000),
        },
        ...(record === undefined ? {} : await describeDatastore(context.system, record)),
        registryMirrors: record?.registryMirrors ?? [],
        repositories: await listRepos(context),
        supervision: await supervision.report(),
      };
    },
  };
}

async function describeDatastore(
  system: System,
  { datastore }: MachineRecord,
): Promise<Pick<OutputOf<'machine.status'>, 'datastore'>> {
  const room = await observeRoom(system, datastore);
  if (room === undefined) return {};
  const { filesystem } = await observeDisk(system, datastore);
  return { datastore: { path: datastore, filesystem, ...reportSpace(room.space), reserveBytes: room.reserveBytes } };
}
