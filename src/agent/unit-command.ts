// What units call: `renet unit autostart` is rediacc-autostart's ExecStart, `renet unit down GUID` rediacc-repo@'s
// ExecStop. At shutdown the agent daemon may be gone already, so the pass is run here; its output goes to the journal of
// the unit.

import { formatDuration } from '../protocol/duration.ts';
import { RdcError } from '../protocol/errors.ts';
import type { RunEvent } from '../protocol/events.ts';
import type { Guid, RunId } from '../protocol/ids.ts';
import { guidSchema } from '../protocol/ids.ts';
import { endFunctions, UNIT_RUN } from './function-units.ts';
import type { RunContext } from './handlers.ts';
import { LOCK_DIR } from './layout.ts';
import { createLinuxSystem } from './linux-system.ts';
import { acquireLock } from './lock.ts';
import { runDownPass } from './repo-down.ts';
import { openWorkbench, type Workbench } from './repo-workbench.ts';
import { cancellation } from './run-command.ts';

/** A function that is ended has ten seconds for it. */
const LONGEST_WAIT_MS = 60_000;

/** Exit code: 0 done, 3 when a down() failed; the volume is closed after it all the same. */
export async function unitCommand(args: readonly string[]): Promise<number> {
  const [verb, guid] = args;
  if (verb === 'autostart') return (await import('./autostart-unit.ts')).autostartUnit(printEvent);
  if (verb !== 'down') {
    process.stderr.write('usage: renet unit down GUID | autostart\n');
    return 2;
  }
  return downAtShutdown(guidSchema.parse(guid));
}

async function downAtShutdown(guid: Guid): Promise<number> {
  const controller = new AbortController();
  const system = createLinuxSystem({ signal: controller.signal });
  const run = `${UNIT_RUN}${process.pid.toString(16).padStart(8, '0')}` as RunId;
  const context = {
    system,
    run,
    actor: 'systemd',
    dryRun: false,
    report: printEvent,
    signal: controller.signal,
    undoing: createLinuxSystem(),
  };
  const bench = await openWorkbench(context, guid);
  // The unit's time is over (systemd.service(5), TimeoutStopSec=).
  process.once('SIGTERM', () =>
    controller.abort(new RdcError('TIMED_OUT', 'the time for down() is over: the rest of it is not called')),
  );
  const lock = await waitForRun(bench, context);
  try {
    const failures = await runDownPass(bench, context, undefined);
    return failures.length === 0 ? 0 : 3;
  } catch (error) {
    if (!controller.signal.aborted) throw error;
    printEvent({ kind: 'warning', message: cancellation(controller.signal).message });
    return 3;
  } finally {
    const untouched = createLinuxSystem();
    await endFunctions(untouched, run);
    await untouched.remove(bench.target.needsDownFlag);
    await lock?.release();
  }
}

/** What the agent is doing with the repository is cancelled by now; down() comes after it has ended. */
async function waitForRun({ target }: Workbench, { run, actor, signal, report }: RunContext) {
  try {
    const owner = { run, operation: 'down at shutdown', actor };
    const subject = JSON.stringify(target.name);
    const terms = { directory: LOCK_DIR, key: target.guid, subject, owner, waitMs: LONGEST_WAIT_MS, signal };
    return await acquireLock(terms);
  } catch (error) {
    if (!(error instanceof RdcError) || error.code !== 'BUSY') throw error;
    report({ kind: 'warning', message: `${error.message}: down() is called all the same` });
    return undefined;
  }
}

function printEvent(event: RunEvent): void {
  if (event.kind === 'output') process.stdout.write(`${event.source}: ${event.text}\n`);
  if (event.kind === 'warning') process.stdout.write(`warning: ${event.message}\n`);
  if (event.kind === 'step' && event.state !== 'start') {
    const duration = event.ms === undefined ? '' : ` ${formatDuration(event.ms)}`;
    process.stdout.write(
      `${event.title}: ${event.state}${duration}${event.detail === undefined ? '' : ` (${event.detail})`}\n`,
    );
  }
}
