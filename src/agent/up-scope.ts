// Which directories an `up` calls: all, the ones it names, or those whose files have changed since their last good up(). A
// good up() counts as long as the services stay up: what was stopped since has to be started, whatever its files are.
import { checkServices } from '../lifecycle/check-services.ts';
import { contentDigests } from '../lifecycle/content-digest.ts';
import type { Failure } from '../lifecycle/passes.ts';
import { labelOf, printable, type Rediaccfile } from '../lifecycle/rediaccfile.ts';
import { readServicesFile } from '../lifecycle/services-file.ts';
import type { System } from '../lifecycle/system.ts';
import { RdcError } from '../protocol/errors.ts';
import type { InputOf } from '../protocol/operations.ts';
import { type Deployed, readDeployed, writeDeployed } from './deployed.ts';
import type { RunContext } from './handlers.ts';
import { hasEnded } from './last-up.ts';
import type { Workbench } from './repo-workbench.ts';

type UpInput = InputOf<'repo.up'>;

export interface Scope {
  /** Nothing is left to call. */
  isEmpty: boolean;
  /** Not all: what it leaves out may be down. */
  isSelective: boolean;
  /** Also of a file that prep() has written only now. */
  includes(file: Rediaccfile): boolean;
  deployed: Deployed;
}

/** How people and the command line name a directory: "." is the root. */
export function scopeName({ directory }: Pick<Rediaccfile, 'directory'>): string {
  return directory === '' ? '.' : printable(directory);
}

/** Reads only. Throws NOT_FOUND, naming what there is, for a directory without a Rediaccfile. */
export async function chooseScope(
  bench: Workbench,
  context: RunContext,
  files: readonly Rediaccfile[],
  { only, changed }: UpInput,
): Promise<Scope> {
  if (only !== undefined) refuseUnknown(bench, files, only);
  const facts = await bench.observe();
  const isUp = facts.needsDown && facts.units.docker.active === 'active' && hasEnded(bench.record.lastUp?.outcome);
  const deployed = isUp ? await readDeployed(context.system, bench.target) : new Map<string, string | null>();
  const named = files.filter((file) => only === undefined || only.includes(scopeName(file)));
  const due = changed ? await changedOf(bench, context, named, deployed) : named;
  const known = new Set(files.map(({ directory }) => directory));
  const chosen = new Set(due.map(({ directory }) => directory));
  return {
    isEmpty: changed === true && due.length === 0 && files.length > 0,
    isSelective: due.length < files.length,
    includes: ({ directory }) => chosen.has(directory) || (only === undefined && !known.has(directory)),
    deployed,
  };
}

function refuseUnknown({ record }: Workbench, files: readonly Rediaccfile[], only: readonly string[]): void {
  const known = files.map(scopeName);
  const unknown = only.filter((name) => !known.includes(name));
  if (unknown.length === 0) return;
  const names = unknown.map((name) => `"${printable(name)}"`).join(', ');
  throw new RdcError('NOT_FOUND', `repository "${record.name}" has no Rediaccfile in ${names}`, {
    hint: known.length === 0 ? 'it has none at all' : `it has one in: ${known.join(', ')}   (. is the root)`,
  });
}

async function changedOf(
  bench: Workbench,
  context: RunContext,
  files: readonly Rediaccfile[],
  deployed: Deployed,
): Promise<Rediaccfile[]> {
  const good = files.filter(({ directory }) => deployed.has(directory));
  const { digests, data } = await digestsOf(bench, context, good);
  const same = good.filter(({ directory }) => {
    const digest = digests.get(directory);
    return digest !== undefined && digest === deployed.get(directory);
  });
  const unseen = data.filter((path) => same.some((file) => path.startsWith(`${file.path}/`)));
  if (unseen.length > 0) {
    const names = unseen.map((path) => printable(path.slice(bench.target.paths.mountPoint.length + 1))).sort();
    context.report({
      kind: 'warning',
      message: `not compared, since services may write there: ${[...new Set(names)].join(', ')}`,
      hint: 'what a service only reads counts when it is bound with :ro',
    });
  }
  return files.filter((file) => !same.includes(file));
}

interface Compared {
  digests: Map<string, string>;
  /** Directories that were left out: services write there. */
  data: string[];
}

async function digestsOf(
  { target }: Workbench,
  { system, report }: RunContext,
  files: readonly Rediaccfile[],
): Promise<Compared> {
  if (files.length === 0) return { digests: new Map(), data: [] };
  const { data: written } = await checkServices(system, target, files, await readServicesFile(system, target));
  const { mountPoint } = target.paths;
  const directories = files.map(({ directory }) => directory);
  const data = await directoriesOf(system, written, mountPoint);
  const digests = await contentDigests(system, { mountPoint, directories, data });
  if (digests.size < files.length) {
    const rest = files.filter(({ directory }) => !digests.has(directory)).map(labelOf);
    const message = `too many files to compare: ${rest.join(', ')}; --changed always takes them as changed`;
    report({ kind: 'warning', message });
  }
  return { digests, data };
}

async function directoriesOf(system: System, paths: readonly string[], mountPoint: string): Promise<string[]> {
  const inside = [...new Set(paths)].filter((path) => path.startsWith(`${mountPoint}/`));
  const kinds = await Promise.all(inside.map(async (path) => (await system.stat(path))?.kind));
  return inside.filter((_, index) => kinds[index] === 'directory');
}

/** Before the first function: from here on, what is cut off or fails is not good any more. */
export async function forgetDeployed({ target }: Workbench, { system }: RunContext, scope: Scope): Promise<void> {
  const left = [...scope.deployed].filter(([directory]) => !scope.includes({ directory, file: '', path: '' }));
  await writeDeployed(system, target, new Map(left));
}

/**
 * What up() is about to start from. After prep(), which may write files; before up(), so that a file that comes while it
 * runs counts as changed.
 */
export async function snapshot(bench: Workbench, context: RunContext, files: readonly Rediaccfile[]) {
  return (await digestsOf(bench, context, files)).digests;
}

/** Keeps what has ended well. True when by now every directory has. */
export async function rememberDeployed(
  { target }: Workbench,
  { system }: RunContext,
  files: readonly Rediaccfile[],
  {
    called,
    failed,
    digests,
  }: { called: readonly Rediaccfile[]; failed: readonly Failure[]; digests: Map<string, string> },
): Promise<boolean> {
  const bad = new Set(failed.map(({ where }) => where));
  const good = called.filter((file) => !bad.has(`${labelOf(file)} up`));
  const before = await readDeployed(system, target);
  const deployed = new Map(before);
  for (const { directory } of good) deployed.set(directory, digests.get(directory) ?? null);
  const present = new Set(files.map(({ directory }) => directory));
  await writeDeployed(system, target, new Map([...deployed].filter(([directory]) => present.has(directory))));
  return files.every(({ directory }) => deployed.has(directory));
}
