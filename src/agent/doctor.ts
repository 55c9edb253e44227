// machine doctor: whether everything on the machine is as repositories need it, a line per check, each with what to do.
// It looks only; what it finds gone, `repo up` or a second setup puts back.
import { RdcError } from '../protocol/errors.ts';
import type { Check } from '../protocol/operations.ts';
import { formatSize } from '../protocol/size.ts';
import { agentVersion } from './agent-version.ts';
import { examineHeaders } from './doctor-headers.ts';
import { examineLeftovers } from './doctor-leftovers.ts';
import { examineNetwork } from './doctor-network.ts';
import { examineOpenings } from './doctor-openings.ts';
import { examineRepositories, type OpenRepo } from './doctor-repositories.ts';
import { checkFirewall } from './firewall-facts.ts';
import type { QueryContext } from './handlers.ts';
import { observeDisk, observeServices } from './host-facts.ts';
import { ENABLED_UNITS, staleUnitFiles } from './install-units.ts';
import { ROLLED_BACK_FILE } from './layout.ts';
import { type MachineRecord, readMachine, requireMachine } from './machine-record.ts';
import { judge, observePreflight } from './preflight.ts';
import { damagedRecords } from './repo-queries.ts';
import type { DamagedRecord } from './repo-store.ts';
import { REFRESH_UNIT } from './setup-files.ts';

/** The command line puts the machine's name in the place of this word. */
const SETUP_AGAIN = 'rdc context setup-machine MACHINE';
/** Of a datastore: less than this, or than a twentieth of it, and images can soon not grow any more. */
const LOW_BYTES = 1024 ** 3;
/** What preflight asks before a setup, and doctor asks in its own way after one. */
const ASKED_HERE = ['datastore', 'firewall', 'sudo', 'host-docker'];

export interface DoctorDeps {
  listRepos(context: QueryContext): Promise<OpenRepo[]>;
  lockDir: string;
}

export async function examineMachine(context: QueryContext, { listRepos, lockDir }: DoctorDeps): Promise<Check[]> {
  const { system } = context;
  const agent = await checkAgent(context);
  const machine = await readMachine(system);
  if (machine === undefined) {
    const about = { id: 'set-up', title: 'set up', found: 'not yet' };
    return [agent, { ...about, status: 'failed', fix: SETUP_AGAIN }];
  }
  const datastore = await checkDatastore(context, machine);
  const preflight = await observePreflight(system, machine.datastore);
  const needs = judge(preflight).filter(({ id }) => !ASKED_HERE.includes(id));
  const isThere = datastore.status !== 'failed';
  const repos = isThere ? await listRepos(context) : [];
  const damaged = isThere ? await damagedRecords(context) : [];
  return [
    agent,
    await checkUnits(context),
    ...checkNeeds(needs),
    datastore,
    checkFirewall(preflight.firewall),
    ...(await examineNetwork(system, machine, repos)),
    ...damaged.map(checkRecord),
    ...(await examineRepositories(system, repos)),
    ...(isThere ? await examineHeaders(system, machine.datastore, repos, lockDir) : []),
    // Without all of its records everything would look like nobody's.
    ...(isThere && damaged.length === 0 ? await examineLeftovers(system, machine.datastore, lockDir) : []),
    ...(isThere ? await examineOpenings(system, machine.datastore, lockDir) : []),
  ];
}

function checkRecord({ guid, error }: DamagedRecord): Check {
  const fix = 'put it back from a backup of the datastore';
  return { id: 'record', title: `record of ${guid}`, status: 'failed', found: error.message, fix };
}

async function checkAgent({ system }: QueryContext): Promise<Check> {
  const about = { id: 'agent', title: 'agent' };
  if ((await system.readFile(ROLLED_BACK_FILE)) === undefined) return { ...about, status: 'ok', found: agentVersion };
  const found = `${agentVersion}: another one was installed, did not start, and gave way to it`;
  return { ...about, status: 'warning', found, fix: 'journalctl --unit rediacc-agent' };
}

async function checkUnits({ system }: QueryContext): Promise<Check> {
  const about = { id: 'units', title: 'units of the agent' };
  const stale = await staleUnitFiles(system);
  const wanted = [...ENABLED_UNITS, REFRESH_UNIT];
  const services = await observeServices(system, wanted);
  const disabled = wanted.filter((name) => services[name]?.enabled !== 'enabled');
  const faults = [
    ...stale.map((path) => `${path} is not as this agent brings it`),
    ...disabled.map((name) => `${name} is not enabled`),
  ];
  if (faults.length === 0) return { ...about, status: 'ok', found: 'in place' };
  return { ...about, status: 'failed', found: faults.join(', '), fix: SETUP_AGAIN };
}

/** One line where all is well. */
function checkNeeds(checks: readonly Check[]): Check[] {
  const open = checks.filter(({ status }) => status !== 'ok');
  if (open.length > 0)
    return open.map((check) => (check.status === 'missing' ? { ...check, fix: SETUP_AGAIN } : check));
  return [{ id: 'needs', title: 'kernel and programs', status: 'ok', found: 'everything that repositories need' }];
}

async function checkDatastore({ system }: QueryContext, { datastore }: MachineRecord): Promise<Check> {
  const about = { id: 'datastore', title: 'datastore' };
  try {
    await requireMachine(system);
  } catch (error) {
    if (!(error instanceof RdcError)) throw error;
    return { ...about, status: 'failed', found: error.message, fix: error.hint };
  }
  const { filesystem, totalBytes, freeBytes } = await observeDisk(system, datastore);
  const found = `${datastore} (${filesystem}), ${formatSize(freeBytes)} of ${formatSize(totalBytes)} free`;
  if (freeBytes >= Math.max(LOW_BYTES, totalBytes / 20)) return { ...about, status: 'ok', found };
  return { ...about, status: 'warning', found, fix: 'free some space: images grow as they are filled; rdc repo list' };
}
