// What `up` says beside what it does: nothing to start, and what the checks have found.
import { type Finding, placeOf } from '../network/finding.ts';
import type { RunContext } from './handlers.ts';
import type { Workbench } from './repo-workbench.ts';

/** There is no Rediaccfile where one is looked for. */
export const NOTHING_TO_START =
  'there is none in the root or in a directory of it: up starts the docker daemon, and nothing else';

/** An upload that was forgotten, or that went one directory too deep, must not look like a success. */
export function warnOfNothing({ record }: Workbench, { report }: RunContext): void {
  report({
    kind: 'warning',
    message: `"${record.name}" has no Rediaccfile, in its root or in a directory of it: nothing was started`,
    hint: `rdc sync upload -r ${record.name} --local DIR`,
  });
}

/** Each once: the files are read again after prep. */
export function reportWarnings({ report }: RunContext, findings: readonly Finding[], told: Set<string>): void {
  for (const finding of findings.filter(({ severity }) => severity === 'warning')) {
    const message = `${placeOf(finding)}: ${finding.message}`;
    if (!told.has(message)) report({ kind: 'warning', message });
    told.add(message);
  }
}
