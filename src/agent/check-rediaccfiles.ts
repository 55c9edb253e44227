// Told before anything runs: a Rediaccfile that bash cannot read as its author meant it.
import { command } from '../lifecycle/command.ts';
import { nameOf, type Rediaccfile } from '../lifecycle/rediaccfile.ts';
import type { System } from '../lifecycle/system.ts';
import { RdcError } from '../protocol/errors.ts';
import { formatSize } from '../protocol/size.ts';

const MOST_BYTES = 4 * 1024 ** 2;
/** `bash -n` only reads; what takes longer is no script. */
const CHECK_MS = 20_000;
const LONGEST_WORDS = 2000;

/** All faults of all files, by file; those without one are not in it. */
export type Faults = ReadonlyMap<Rediaccfile, string>;

/** Text first, then `bash -n`, which runs nothing of it (bash(1), -n). Never throws for what a file holds. */
export async function findFaults(
  system: System,
  mountPoint: string,
  files: readonly Rediaccfile[],
): Promise<Map<Rediaccfile, string>> {
  const faults = new Map<Rediaccfile, string>();
  for (const file of files) {
    const fault = await faultOf(system, mountPoint, file);
    if (fault !== undefined) faults.set(file, fault);
  }
  return faults;
}

/** Throws INVALID_INPUT with every fault, in the words of bash where it is bash that does not understand. */
export function refuseFaults(repo: string, faults: Faults): void {
  if (faults.size === 0) return;
  const words = [...faults.values()];
  throw new RdcError('INVALID_INPUT', `nothing of "${repo}" was started: ${words.join('\n')}`, {
    hint: 'correct the files and upload them again: rdc sync upload',
  });
}

async function faultOf(system: System, mountPoint: string, file: Rediaccfile): Promise<string | undefined> {
  const name = nameOf(file);
  const path = `${file.path}/${file.file}`;
  const sizeBytes = (await system.stat(path))?.sizeBytes ?? 0;
  if (sizeBytes > MOST_BYTES) return tooLarge(name, sizeBytes);
  let text: string | undefined;
  try {
    text = await system.readFile(path);
  } catch (error) {
    return `${name}: cannot be read: ${error instanceof Error ? error.message : String(error)}`;
  }
  if (text === undefined) return `${name}: it is not there any more`;
  // Behind a link the size is the link's own.
  if (text.length > MOST_BYTES) return tooLarge(name, text.length);
  return faultOfText(name, text) ?? faultOfSyntax(system, mountPoint, { ...file, text });
}

function tooLarge(name: string, sizeBytes: number): string {
  return `${name}: ${formatSize(sizeBytes)} are more than the ${formatSize(MOST_BYTES)} that a Rediaccfile may have`;
}

function faultOfText(name: string, text: string): string | undefined {
  const line = (at: number) => text.slice(0, at).split('\n').length;
  if (text.startsWith('\uFEFF')) {
    return `${name}: line 1: begins with a byte order mark, which bash takes for a command; to remove it: sed -i '1s/^\\xEF\\xBB\\xBF//' ${quoted(name)}`;
  }
  const nul = text.indexOf('\0');
  if (nul >= 0)
    return `${name}: line ${line(nul)}: has a NUL byte: it is no text in UTF-8 (to see its kind: file ${quoted(name)})`;
  const cr = text.indexOf('\r\n');
  if (cr >= 0) {
    return `${name}: line ${line(cr)}: ends with CR LF, as on Windows; to mend it: sed -i 's/\\r$//' ${quoted(name)}`;
  }
  return undefined;
}

async function faultOfSyntax(
  system: System,
  mountPoint: string,
  file: Rediaccfile & { text: string },
): Promise<string | undefined> {
  const first = await readByBash(system, mountPoint, file, []);
  // `shopt -s extglob` changes what bash can read, and -n does not carry it out.
  if (first === undefined || !file.text.includes('extglob')) return first;
  return readByBash(system, mountPoint, file, ['-O', 'extglob']);
}

async function readByBash(
  system: System,
  mountPoint: string,
  { directory, file }: Rediaccfile,
  options: readonly string[],
): Promise<string | undefined> {
  const name = directory === '' ? `./${file}` : `./${directory}/${file}`;
  const check = command('bash', '--noprofile', '--norc', ...options, '-n', name);
  try {
    const answer = await system.run({ ...check, cwd: mountPoint, allow: [1, 2, 126, 127], timeoutMs: CHECK_MS });
    if (answer.exitCode === 0) return undefined;
    const words = answer.stderr.trim().slice(0, LONGEST_WORDS).replaceAll(name, nameOf({ directory, file }));
    return words === '' ? `${nameOf({ directory, file })}: bash -n ends with exit code ${answer.exitCode}` : words;
  } catch (error) {
    if (!(error instanceof RdcError) || error.code !== 'COMMAND_FAILED') throw error;
    return `${nameOf({ directory, file })}: ${error.message}`;
  }
}

function quoted(name: string): string {
  return /^[\w./-]+$/.test(name) && !name.startsWith('-') ? name : `'./${name.replaceAll("'", `'\\''`)}'`;
}
