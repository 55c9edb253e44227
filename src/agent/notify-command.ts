// The administrator's own command for what the supervisor does: run by root on this machine, since these things happen
// when no workstation is there (docs/decisions/0008-supervision.md). It can neither hold up nor break the supervision.
import { hostname } from 'node:os';
import { command } from '../lifecycle/command.ts';
import type { System } from '../lifecycle/system.ts';
import { literalWords } from '../lifecycle/unit-text.ts';
import { messageOf } from '../protocol/errors.ts';
import type { SupervisionEvent } from '../protocol/supervision.ts';

/** Seconds that one call may take. */
const LIMIT_S = 60;
/** Further ones are dropped, and that is told once. */
const MOST_WAITING = 20;

export interface Notifier {
  notify(event: SupervisionEvent): void;
}

export interface NotifierDeps {
  system: System;
  /** null: none is set. */
  commandLine(): Promise<string | null>;
  onFailure(message: string): void;
}

export function createNotifier({ system, commandLine, onFailure }: NotifierDeps): Notifier {
  let waiting = 0;
  let queue: Promise<void> = Promise.resolve();
  return {
    notify(event) {
      if (waiting === MOST_WAITING) onFailure('the notify command is too slow: events are not given to it any more');
      if (waiting >= MOST_WAITING) return;
      waiting += 1;
      queue = queue
        .then(async () => {
          const line = await commandLine();
          if (line !== null) await call(system, line, event);
        })
        .catch((error: unknown) => {
          onFailure(`the notify command failed: ${messageOf(error)}`);
        })
        .finally(() => {
          waiting -= 1;
        });
    },
  };
}

/** In a unit of its own, which ends all that it leaves behind; its output is in the journal. */
async function call(system: System, line: string, { at, kind, repo, guid, message }: SupervisionEvent): Promise<void> {
  const event = {
    time: new Date(at).toISOString(),
    machine: hostname(),
    kind,
    ...(repo === undefined ? {} : { repository: repo, guid }),
    message,
  };
  const unit = ['--quiet', '--collect', '--wait', '--pipe', `--property=RuntimeMaxSec=${LIMIT_S}`];
  await system.run({
    ...command(
      'systemd-run',
      ...unit,
      '--description=rediacc notify command',
      ...literalWords(['/bin/sh', '-c', line]),
    ),
    stdin: `${JSON.stringify(event)}\n`,
    timeoutMs: (LIMIT_S + 30) * 1000,
  });
}
