// .rediacc.json of a mounted repository: brought up to date from the compose files beside its Rediaccfiles. Run
// before prep and again after it, because prep may have written compose files.
import { describeFinding, type Finding, placeOf } from '../network/finding.ts';
import { formatServicesFile, mergeServices, parseServicesFile, type ServicesFile } from '../network/services.ts';
import { RdcError } from '../protocol/errors.ts';
import { checkServices } from './check-services.ts';
import type { Rediaccfile } from './rediaccfile.ts';
import type { System } from './system.ts';
import type { RepoTarget } from './target.ts';

const MAX_BYTES = 1024 ** 2;

export interface ServiceScan {
  file: ServicesFile;
  /** Warnings and notes: errors are thrown. */
  findings: Finding[];
}

/** Writes .rediacc.json only when it changes. Throws INVALID_INPUT, and writes nothing, where a check finds an error. */
export async function updateServicesFile(
  system: System,
  target: RepoTarget,
  rediaccfiles: readonly Rediaccfile[],
): Promise<ServiceScan> {
  const { file: before, text } = await readWithText(system, target);
  const { findings, names } = await checkServices(system, target, rediaccfiles, before);
  refuseErrors(target, findings);
  const file = mergeServices(before, names);
  if (names.length > 0 || text !== undefined) await saveServicesFile(system, target, file, text);
  return { file, findings };
}

/** Throws CONFIG_INVALID with path, line and reason. Absent: no service has a slot. */
export async function readServicesFile(system: System, target: RepoTarget): Promise<ServicesFile> {
  return (await readWithText(system, target)).file;
}

/** True when it had to be written. `before` is the text that it replaces. */
export async function saveServicesFile(
  system: System,
  target: RepoTarget,
  file: ServicesFile,
  before: string | undefined,
): Promise<boolean> {
  const text = formatServicesFile(file);
  if (text === before) return false;
  await system.writeFile(target.paths.servicesFile, text, 0o644);
  return true;
}

/** A link, a FIFO or a file without end in its place would make root read what it should not. */
export async function readWithText(
  system: System,
  { paths }: RepoTarget,
): Promise<{ file: ServicesFile; text: string | undefined }> {
  const path = paths.servicesFile;
  const found = await system.stat(path);
  if (found === undefined) return { file: parseServicesFile(path, undefined), text: undefined };
  if (found.kind !== 'file') throw refused(path, `is a ${KINDS[found.kind]}, not a plain file`);
  const read = await system.readInside(paths.mountPoint, path, MAX_BYTES);
  if ('text' in read) return { file: parseServicesFile(path, read.text), text: read.text };
  throw refused(path, REASONS[read.refused]);
}

const KINDS = {
  file: 'file',
  directory: 'directory',
  symlink: 'link',
  socket: 'socket',
  other: 'FIFO or device',
} as const;
const REASONS = {
  absent: 'went away while it was read',
  outside: 'became a link that leads out of the repository',
  unreadable: 'is not a readable file',
  'too-large': `is larger than ${MAX_BYTES} bytes`,
  'not-text': 'is not UTF-8 text',
} as const;

function refused(path: string, reason: string): RdcError {
  return new RdcError('CONFIG_INVALID', `${path} ${reason}`, {
    hint: 'put the file back as it was; without it every service gets a new address',
  });
}

function refuseErrors({ name }: RepoTarget, findings: readonly Finding[]): void {
  const errors = findings.filter(({ severity }) => severity === 'error');
  const [first] = errors;
  if (first === undefined) return;
  const more = errors.length === 1 ? '' : ` (and ${errors.length - 1} more)`;
  throw new RdcError('INVALID_INPUT', `${placeOf(first)}: ${first.message}${more}`, {
    hint: `rdc repo validate ${name}`,
    cause: errors.map(describeFinding).join('\n'),
  });
}
