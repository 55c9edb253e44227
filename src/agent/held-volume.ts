// A volume that is to be closed while somebody uses it: who that is, by name; and ending them where a person has agreed.
import { endMounts, endProcesses, mayEnd } from '../lifecycle/end-holders.ts';
import { describeHolders, describeProcess } from '../lifecycle/holder-text.ts';
import { findVolumeHolders, type VolumeHolders } from '../lifecycle/holders.ts';
import { isClosed } from '../lifecycle/volume.ts';
import { isCode, messageOf, RdcError } from '../protocol/errors.ts';
import type { PlanStep } from '../protocol/events.ts';
import { exactSize } from '../protocol/size.ts';
import { nameContainers } from './container-names.ts';
import type { RunContext } from './handlers.ts';
import type { Workbench } from './repo-workbench.ts';
import { reportedStep } from './reported-step.ts';
import { resizeUnit } from './resize-unit.ts';

const NOBODY: VolumeHolders = { processes: [], mounts: [], loops: [], stacked: [] };

type Context = Pick<RunContext, 'system' | 'report'>;

/** Every namespace is asked before the unmount. Throws VOLUME_IN_USE that names who holds the volume; with `force` only what cannot be ended. */
export async function releaseVolume(bench: Workbench, context: Context, force: boolean): Promise<void> {
  const held = await look(bench, context);
  if (held === undefined) return;
  refuseWhileResized(bench, held);
  if (!force) throw await refusal(bench, context, held);
  const nameOf = await nameContainers(context.system, bench.store, held.processes);
  const words = describeHolders(held, nameOf).join(', ');
  await reportedStep(context, { id: 'volume.release', title: `end what holds the volume: ${words}` }, async () => {
    await endProcesses(context.system, held.processes, process.pid);
    // A mount may have gone with the process whose it was.
    await endMounts(context.system, (await look(bench, context)) ?? NOBODY);
    const left = await look(bench, context);
    if (left !== undefined) throw await refusal(bench, context, left);
  });
}

/** What a dry run tells: whom `force` would end, or that the command would be refused. */
export async function planRelease(bench: Workbench, context: Context, force: boolean): Promise<void> {
  const held = await look(bench, context);
  if (held === undefined) return;
  refuseWhileResized(bench, held);
  const { system, report } = context;
  if (!force) {
    const { message, hint } = await refusal(bench, context, held);
    report({ kind: 'warning', message, ...(hint === undefined ? {} : { hint }) });
    return;
  }
  const nameOf = await nameContainers(system, bench.store, held.processes);
  const steps = [
    ...held.processes.map((holder): PlanStep => {
      const title = describeProcess(holder, nameOf);
      if (mayEnd(holder, process.pid)) return { id: `end.${holder.pid}`, title: `end ${title}`, expect: 'change' };
      return {
        id: `end.${holder.pid}`,
        title,
        expect: 'already',
        already: "it is nobody's to end, so the volume stays open",
      };
    }),
    ...held.mounts.map((path): PlanStep => ({ id: `end.${path}`, title: `unmount ${path}`, expect: 'change' })),
    ...held.loops.map((path): PlanStep => ({ id: `end.${path}`, title: `detach ${path}`, expect: 'change' })),
  ];
  report({ kind: 'plan', steps });
}

/** undefined: nobody. What runs in the repository's own slice is stopped before, with its daemon. */
async function look({ observe, target }: Workbench, { system }: Context): Promise<VolumeHolders | undefined> {
  const facts = await observe();
  if (isClosed(facts) || facts.mapping === undefined) return undefined;
  const mountPoint = facts.mounted ? target.paths.mountPoint : undefined;
  const found = await findVolumeHolders(system, {
    device: facts.mapping.deviceNumber,
    kernelName: facts.mapping.kernelName,
    mountPoint,
  });
  const isOwn = (cgroup: string) => facts.units.docker.active === 'active' && cgroup.includes(`/${target.net.slice}/`);
  const held = { ...found, processes: found.processes.filter(({ cgroup }) => !isOwn(cgroup)) };
  return Object.values(held).every((list) => list.length === 0) ? undefined : held;
}

/** Ended between two blocks it would leave a filesystem that is half moved: nobody's to agree to. */
function refuseWhileResized({ record }: Workbench, { processes }: VolumeHolders): void {
  const unit = resizeUnit(record);
  if (!processes.some(({ cgroup }) => cgroup.includes(unit))) return;
  const size = record.resize === undefined ? 'SIZE' : exactSize(record.resize.sizeBytes);
  throw new RdcError('VOLUME_IN_USE', `the filesystem of repository "${record.name}" is being resized (${unit})`, {
    hint: `rdc repo resize ${record.name} --size ${size}   (it is waited for, and finished)`,
  });
}

async function refusal(bench: Workbench, { system }: Context, held: VolumeHolders): Promise<RdcError> {
  const { name } = bench.record;
  const { mapping } = bench.target.paths;
  const names = describeHolders(held, await nameContainers(system, bench.store, held.processes));
  return new RdcError('VOLUME_IN_USE', `the volume of repository "${name}" is still held by ${names.join(', ')}`, {
    // Whose a device is that somebody has made upon the volume, only a person knows.
    hint:
      held.stacked.length === 0 ? `rdc repo unmount ${name} --force` : `on the server: lsblk /dev/mapper/${mapping}`,
  });
}

/** A closing failed after nobody was seen to hold the volume: who has come since, or that it is somebody who cannot be seen. Throws. */
export async function explainClosing(bench: Workbench, context: Context, error: unknown): Promise<never> {
  if (!isCode(error, 'COMMAND_FAILED', 'STEP_NOT_VERIFIED')) throw error;
  await releaseVolume(bench, context, false);
  const { name } = bench.record;
  const message = `the volume of repository "${name}" cannot be closed, and nobody is seen who holds it: ${messageOf(error)}`;
  // A mount namespace that is kept by a mount of its own has no process to be found by (namespaces(7)).
  const hint = 'on the server, look for what holds it unseen: lsns --type mnt, findmnt --types nsfs, swapon, exportfs';
  throw new RdcError('VOLUME_IN_USE', message, { hint, cause: error });
}
