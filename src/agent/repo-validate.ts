// rdc repo validate: what can be told about a repository from its files, without running anything, and the one change
// that goes with it, giving back the slots of services that are gone.
import { checkServices } from '../lifecycle/check-services.ts';
import { readSettings } from '../lifecycle/env-settings.ts';
import { functionEnvironment } from '../lifecycle/function-call.ts';
import { discoverRediaccfiles, nameOf } from '../lifecycle/rediaccfile.ts';
import { readWithText, saveServicesFile } from '../lifecycle/services-file.ts';
import type { System } from '../lifecycle/system.ts';
import type { RepoTarget } from '../lifecycle/target.ts';
import { describeFinding, type Finding } from '../network/finding.ts';
import { parseServicesFile, pruneServices, type ServicesFile, serviceVariable } from '../network/services.ts';
import { RdcError } from '../protocol/errors.ts';
import type { InputOf, OutputOf } from '../protocol/operations.ts';
import { findFaults } from './check-rediaccfiles.ts';
import type { Finished, QueryContext, RunContext } from './handlers.ts';
import { identity } from './repo-volume.ts';
import { openWorkbench, type Workbench } from './repo-workbench.ts';
import { NOTHING_TO_START } from './up-warnings.ts';

export async function validateRepo(
  input: InputOf<'repo.validate'>,
  context: QueryContext,
): Promise<OutputOf<'repo.validate'>> {
  const bench = await openMounted(input, context);
  const { findings, names, slots } = await examine(context.system, bench.target);
  const { pruned: vanished } = pruneServices(slots, names);
  return { ...identity(bench), findings, services: names, vanished };
}

/** Refuses where a file could not be read whole: a service in it would lose its address. */
export async function pruneSlots(
  input: InputOf<'repo.prune-slots'>,
  context: RunContext,
): Promise<Finished<OutputOf<'repo.prune-slots'>>> {
  const { system } = context;
  const bench = await openMounted(input, context);
  const { findings, names } = await examine(system, bench.target);
  const obstacle = findings.find(({ severity, rule }) => severity === 'error' || UNREAD.includes(rule));
  if (obstacle !== undefined) {
    throw new RdcError('INVALID_INPUT', `no slot is pruned while a file cannot be read: ${describeFinding(obstacle)}`, {
      hint: `rdc repo validate ${bench.record.name}`,
    });
  }
  const { file: slots, text } = await readWithText(system, bench.target);
  const { file, pruned } = pruneServices(slots, names);
  if (context.dryRun) {
    const title = pruned.length === 0 ? 'no slot to free' : `free the slots of ${pruned.join(', ')}`;
    const expect = pruned.length === 0 ? 'already' : 'change';
    context.report({ kind: 'plan', steps: [{ id: 'slots.prune', title, expect }] });
    return { outcome: 'planned' };
  }
  const changed = pruned.length > 0 && (await saveServicesFile(system, bench.target, file, text));
  return { outcome: 'done', output: { ...identity(bench), changed, pruned } };
}

/** Services may be in what these are about. */
const UNREAD = ['missing-file', 'include'];

async function openMounted(
  input: { repo: InputOf<'repo.validate'>['repo'] },
  context: QueryContext,
): Promise<Workbench> {
  const bench = await openWorkbench(context, input.repo);
  if ((await bench.observe()).mounted) return bench;
  throw new RdcError('FAILED', `repository "${bench.record.name}" is closed: its files cannot be read`, {
    hint: `rdc repo mount ${bench.record.name}`,
  });
}

interface Examination {
  findings: Finding[];
  names: string[];
  slots: ServicesFile;
}

/** Never throws for what users wrote. */
export async function examine(system: System, target: RepoTarget): Promise<Examination> {
  const found: Finding[] = [];
  const noSlots = parseServicesFile(target.paths.servicesFile, undefined);
  const slots = await orFinding('.rediacc.json', 'slots', found, async () => (await readWithText(system, target)).file);
  const discovery = await orFinding('Rediaccfile', 'rediaccfile', found, () =>
    discoverRediaccfiles(system, target.paths.mountPoint),
  );
  const { files, faults } = discovery ?? { files: [], faults: [] };
  for (const { place, message } of faults) {
    found.push({ file: place, rule: 'rediaccfile', severity: 'error', message });
  }
  if (discovery !== undefined && files.length + faults.length === 0) {
    found.push({ file: 'Rediaccfile', rule: 'rediaccfile', severity: 'warning', message: NOTHING_TO_START });
  }
  for (const [file, fault] of await findFaults(system, target.paths.mountPoint, files)) {
    found.push(...fault.split('\n').map((message) => bashFinding(nameOf(file), message)));
  }
  const { findings, names } = await checkServices(system, target, files, slots ?? noSlots);
  const environment = functionEnvironment(
    target,
    addressNames([...names, ...Object.keys((slots ?? noSlots).services)]),
  );
  for (const file of files) {
    const envFile = nameOf({ ...file, file: '.env' });
    await orFinding(envFile, 'env', found, () => readSettings(system, target.paths.mountPoint, file, environment));
  }
  return { findings: [...found, ...findings], names, slots: slots ?? noSlots };
}

/** Which variables there will be; their values are of no matter to a check. */
function addressNames(services: readonly string[]): Record<string, string> {
  return Object.fromEntries(services.map((name) => [serviceVariable(name), '']));
}

/** bash and the checks before it say "FILE:LINE: reason" or "FILE: line LINE: reason". */
function bashFinding(file: string, message: string): Finding {
  const rest = message.startsWith(`${file}:`) ? message.slice(file.length + 1).trim() : message;
  const [, line, reason = rest] = /^(?:line )?(\d+): (.*)$/s.exec(rest) ?? [];
  return {
    file,
    ...(line === undefined ? {} : { line: Number(line) }),
    rule: 'bash',
    severity: 'error',
    message: reason,
  };
}

/** undefined: what went wrong with the file is a finding now. Our own faults stay errors. */
async function orFinding<T>(
  file: string,
  rule: string,
  found: Finding[],
  work: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof RdcError) || !['INVALID_INPUT', 'CONFIG_INVALID'].includes(error.code)) throw error;
    const lines = error.message.split('\n');
    for (const message of lines.every((line) => line.startsWith(file)) ? lines : [error.message]) {
      const line = /(?:line |:)(\d+)(?::| )/.exec(message)?.[1];
      const place = line === undefined ? {} : { line: Number(line) };
      found.push({ file, ...place, rule, severity: 'error', message: withoutPlace(message, file) });
    }
    return undefined;
  }
}

/** Where it is said already: "/mnt/…/web/Rediaccfile:3: …", "web/.env: line 3 …". */
function withoutPlace(message: string, file: string): string {
  const at = message.startsWith('/') ? message.indexOf(`/${file}`) + 1 : 0;
  if (!message.startsWith(file, at)) return message;
  return message.slice(at + file.length).replace(/^(:\d+)?:? (line \d+:? )?/, '');
}
