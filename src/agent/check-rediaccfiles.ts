// Told before anything runs: a Rediaccfile that bash cannot read as its author meant it.
import { command } from '../lifecycle/command.ts';
import { nameOf, type Rediaccfile } from '../lifecycle/rediaccfile.ts';
import type { System } from '../lifecycle/system.ts';
import { messageOf, RdcError } from '../protocol/errors.ts';
import { formatSize } from '../protocol/size.ts';

const MOST_BYTES = 4 * 1024 ** 2;
/** `bash -n` only reads; what takes longer is no script. */
const CHECK_MS = 20_000;
const LONGEST_WORDS = 2000;
/** Of one bash: its command line must stay short enough (execve(2)). */
const FILES_AT_ONCE = 200;

/**
 * One bash for many files: a start costs ten times as much as a fork. Each file is read in a process of its own, after
 * a line that forbids to carry anything out (bash(1), set -n). Tells "0" or another code in the order of the files, as
 * soon as it knows; where one crashes or hangs bash, it and those after it have no answer. Through a pipe: a here-string may
 * lie in a file of the host's /tmp, outside the encryption.
 */
const READ_ALL = `for file; do
  (IFS= read -r -d '' text <"$file"; source <(printf 'set -n\\n%s' "$text")) >/dev/null 2>&1
  printf '%s\\n' "$?"
done`;

/** All faults of all files, by file; those without one are not in it. */
export type Faults = ReadonlyMap<Rediaccfile, string>;

/** Text first, then `bash -n`, which runs nothing of it (bash(1), -n). Never throws for what a file holds. */
export async function findFaults(
  system: System,
  mountPoint: string,
  files: readonly Rediaccfile[],
): Promise<Map<Rediaccfile, string>> {
  const faults = new Map<Rediaccfile, string>();
  const texts: ReadFile[] = [];
  for (const file of files) {
    const read = await readText(system, file);
    if ('fault' in read) faults.set(file, read.fault);
    else texts.push({ ...read, file });
  }
  const good = await readableByBash(system, mountPoint, texts);
  for (const read of texts) {
    // In the words of a bash that reads nothing else.
    const fault = good.has(read) ? undefined : await faultOfSyntax(system, mountPoint, read);
    if (fault !== undefined) faults.set(read.file, fault);
  }
  return new Map(files.flatMap((file) => (faults.has(file) ? [[file, faults.get(file) ?? '']] : [])));
}

/** Throws INVALID_INPUT with every fault, in the words of bash where it is bash that does not understand. */
export function refuseFaults(repo: string, faults: Faults): void {
  if (faults.size === 0) return;
  const words = [...faults.values()];
  throw new RdcError('INVALID_INPUT', `nothing of "${repo}" was started: ${words.join('\n')}`, {
    hint: 'correct the files and upload them again: rdc sync upload',
  });
}

interface ReadFile {
  file: Rediaccfile;
  text: string;
}

async function readText(system: System, file: Rediaccfile): Promise<{ text: string } | { fault: string }> {
  const name = nameOf(file);
  const path = `${file.path}/${file.file}`;
  const sizeBytes = (await system.stat(path))?.sizeBytes ?? 0;
  if (sizeBytes > MOST_BYTES) return { fault: tooLarge(name, sizeBytes) };
  let text: string | undefined;
  try {
    text = await system.readFile(path);
  } catch (error) {
    return { fault: `${name}: cannot be read: ${messageOf(error)}` };
  }
  if (text === undefined) return { fault: `${name}: it is not there any more` };
  // Behind a link the size is the link's own.
  if (text.length > MOST_BYTES) return { fault: tooLarge(name, text.length) };
  const fault = faultOfText(name, text);
  return fault === undefined ? { text } : { fault };
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

/** Those in which bash finds no fault for certain. */
async function readableByBash(system: System, mountPoint: string, files: readonly ReadFile[]): Promise<Set<ReadFile>> {
  const good = new Set<ReadFile>();
  for (let from = 0; from < files.length; from += FILES_AT_ONCE) {
    const some = files.slice(from, from + FILES_AT_ONCE);
    const codes = await codesOfBash(
      system,
      mountPoint,
      some.map(({ file }) => pathOf(file)),
    );
    for (const [index, file] of some.entries()) if (codes[index] === '0') good.add(file);
  }
  return good;
}

async function codesOfBash(system: System, mountPoint: string, paths: readonly string[]): Promise<string[]> {
  const all = command('bash', '--noprofile', '--norc', '-c', READ_ALL, 'bash', ...paths);
  let said = '';
  try {
    await system.run({ ...all, cwd: mountPoint, timeoutMs: CHECK_MS }, (stream, chunk) => {
      if (stream === 'stdout') said += chunk.toString();
    });
  } catch (error) {
    if (!(error instanceof RdcError) || error.code !== 'COMMAND_FAILED') throw error;
  }
  return said.split('\n').slice(0, -1);
}

async function faultOfSyntax(
  system: System,
  mountPoint: string,
  { file, text }: ReadFile,
): Promise<string | undefined> {
  const first = await readByBash(system, mountPoint, file, []);
  // `shopt -s extglob` changes what bash can read, and -n does not carry it out.
  if (first === undefined || !text.includes('extglob')) return first;
  return readByBash(system, mountPoint, file, ['-O', 'extglob']);
}

async function readByBash(
  system: System,
  mountPoint: string,
  { directory, file }: Rediaccfile,
  options: readonly string[],
): Promise<string | undefined> {
  const name = pathOf({ directory, file });
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

/** From the mount; never taken for an option. */
function pathOf({ directory, file }: Pick<Rediaccfile, 'directory' | 'file'>): string {
  return directory === '' ? `./${file}` : `./${directory}/${file}`;
}

function quoted(name: string): string {
  return /^[\w./-]+$/.test(name) && !name.startsWith('-') ? name : `'./${name.replaceAll("'", `'\\''`)}'`;
}
