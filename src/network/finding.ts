// What a check of a repository's files has to say, with the place it is about.
import { RdcError } from '../protocol/errors.ts';

export type Severity = 'error' | 'warning' | 'note';

export interface Finding {
  /** Relative to the root of the repository. */
  file: string;
  line?: number;
  /** Stable id such as "port-conflict". */
  rule: string;
  /** error: nothing may run. warning: it runs, but hardly as meant. note: worth knowing. */
  severity: Severity;
  message: string;
}

/** "web/compose.yml:3: warning: …" */
export function describeFinding({ file, line, severity, message }: Finding): string {
  return `${placeOf({ file, line })}: ${severity}: ${message}`;
}

/** "web/compose.yml:3", or the file alone where no line is known. */
export function placeOf({ file, line }: { file: string; line?: number | undefined }): string {
  return line === undefined ? file : `${file}:${line}`;
}

/** A file that cannot be worked with. Thrown where it is read; who checks a whole repository collects its finding. */
export class Refusal extends RdcError {
  readonly finding: Finding;

  constructor(finding: Omit<Finding, 'severity'>, hint?: string) {
    super('INVALID_INPUT', `${placeOf(finding)}: ${finding.message}`, { hint });
    this.finding = { ...finding, severity: 'error' };
  }
}
