// What units call: `renet unit autostart` is rediacc-autostart's ExecStart, `renet unit down GUID` rediacc-repo@'s ExecStop. At shutdown the agent daemon may be on its way
// out already, so the pass is run here; its output goes to the journal of the unit.

import { formatDuration } from '../protocol/duration.ts';
import type { RunEvent } from '../protocol/events.ts';
import type { RunId } from '../protocol/ids.ts';
import { guidSchema } from '../protocol/ids.ts';
import { createLinuxSystem } from './linux-system.ts';
import { runDownPass } from './repo-services.ts';
import { openWorkbench } from './repo-workbench.ts';

/** Exit code: 0 done, 3 when a down() failed; the volume is closed after it all the same. */
export async function unitCommand(args: readonly string[]): Promise<number> {
  const [verb, guid] = args;
  if (verb === 'autostart') return (await import('./autostart-unit.ts')).autostartUnit(printEvent);
  if (verb !== 'down') {
    process.stderr.write('usage: renet unit down GUID | autostart\n');
    return 2;
  }
  const controller = new AbortController();
  const system = createLinuxSystem({ signal: controller.signal });
  const context = {
    system,
    run: `000000000000-${process.pid.toString(16).padStart(8, '0')}` as RunId,
    actor: 'systemd',
    dryRun: false,
    report: printEvent,
    signal: controller.signal,
  };
  const bench = await openWorkbench(context, guidSchema.parse(guid));
  const failures = await runDownPass(bench, context, undefined);
  await system.remove(bench.target.needsDownFlag);
  return failures.length === 0 ? 0 : 3;
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
