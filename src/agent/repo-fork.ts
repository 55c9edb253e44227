// repo fork: a copy of a repository with an identity and a credential of its own. Until its record says "ready" it is
// half-made: whatever fails, nothing of it stays, and what a crash leaves is thrown away by the next attempt.
import type { RepoFacts } from '../lifecycle/facts.ts';
import { refuseSecondOpening } from '../lifecycle/openings.ts';
import { converge } from '../lifecycle/run-plan.ts';
import { closeVolumeSteps, openVolumeSteps } from '../lifecycle/volume.ts';
import { RdcError } from '../protocol/errors.ts';
import type { PlanStep } from '../protocol/events.ts';
import type { InputOf, OutputOf } from '../protocol/operations.ts';
import { type Copied, copyImage, refuseCopy, sharesBlocks } from './fork-copy.ts';
import { quietContainers, renewFilesystem } from './fork-filesystem.ts';
import { replaceKeys } from './fork-keys.ts';
import type { Finished, RunContext } from './handlers.ts';
import { observeDisk } from './host-facts.ts';
import { opens } from './key-slots.ts';
import { MEMORY_HARD_LOCK } from './layout.ts';
import { type Claim, clearHalfMade, discardHalfMade, refuseTakenName, refuseUnknownImage } from './new-repo.ts';
import type { RepoRecord } from './repo-store.ts';
import { openWorkbench, type Workbench, workbenchOf } from './repo-workbench.ts';
import { reportedStep } from './reported-step.ts';
import { undo } from './undo.ts';

type Input = InputOf<'repo.fork'>;
type Output = OutputOf<'repo.fork'>;

/** Filesystems whose files can share blocks; xfs where it was made so, which only trying tells. */
const SHARING = ['btrfs', 'xfs', 'bcachefs', 'ocfs2'];

export function createForkHandler(claim: Claim): (input: Input, context: RunContext) => Promise<Finished<Output>> {
  return async (input, context) => {
    const { system, dryRun } = context;
    const parent = await openWorkbench(context, input.repo);
    const { machine, store, record, target } = parent;
    const existing = await refuseTakenName(store, input, record.guid);
    if (existing !== undefined) {
      const bench = await workbenchOf(system, machine, store, existing);
      await refuseWrongKey(bench, context, input.newCredential);
      return { outcome: 'done', output: outputOf(existing, { changed: false }) };
    }
    await refuseUnknownImage(system, store, machine.datastore, input);
    await refuseSecondOpening(system, target);
    await refuseWrongKey(parent, context, input.credential);
    if (dryRun) return plan(parent, context);

    await clearHalfMade(system, parent, input.name);
    // What is shared is taken anew by whoever writes: the parent's space would not be its own any more.
    const shares = !target.preallocated && (await sharesBlocks(system, target));
    await refuseCopy(parent, system, shares);
    const origin = { parent: record.guid, ...(record.limits === undefined ? {} : { limits: record.limits }) };
    const fork = await workbenchOf(system, machine, store, await claim({ system, store, dryRun }, input, origin));
    const copied = await make(parent, fork, { input, shares, context });
    return { outcome: 'done', output: outputOf(fork.record, { changed: true, ...copied }) };
  };
}

async function refuseWrongKey({ record, target }: Workbench, { system }: RunContext, key: Input['credential']) {
  if (await opens(system, target, key)) return;
  throw new RdcError('WRONG_CREDENTIAL', `the credential does not open repository "${record.name}"`, {
    hint: `rdc repo credential add ${record.name}`,
  });
}

interface Making {
  input: Input;
  shares: boolean;
  context: RunContext;
}

async function make(parent: Workbench, fork: Workbench, { input, shares, context }: Making): Promise<Copied> {
  const { system } = context;
  const { target } = fork;
  const { credential, newCredential, kdf } = input;
  const run = { system, report: context.report, observe: fork.observe };
  try {
    const copied = await copyImage(parent, target, shares, context);
    await reportedStep(context, STEPS.keys, () =>
      replaceKeys(system, target, { old: credential, next: newCredential, kdf }),
    );
    const gate = kdf === 'passphrase' ? { lockFile: MEMORY_HARD_LOCK } : {};
    await converge<RepoFacts>(openVolumeSteps(target, { credential: newCredential, ...gate }), run);
    await reportedStep(context, STEPS.filesystem, () => renewFilesystem(system, target));
    await reportedStep(context, STEPS.containers, () => quietContainers(system, target));
    await converge<RepoFacts>(closeVolumeSteps(target), run);
    await fork.store.save({ ...fork.record, state: 'ready' });
    return copied;
  } catch (error) {
    await undo(context, 'the half-made fork', (lasting) => discardHalfMade(lasting, fork));
    throw error;
  }
}

const STEPS = {
  keys: { id: 'fork.keys', title: "give the copy a LUKS UUID and a key of its own, and wipe its parent's" },
  filesystem: { id: 'fork.filesystem', title: 'check its filesystem and give it a UUID of its own' },
  containers: { id: 'fork.containers', title: 'keep the copied containers from starting by themselves' },
} as const;

async function plan(parent: Workbench, { system, report }: RunContext): Promise<Finished<Output>> {
  const { name, datastore } = parent.target;
  const { filesystem } = await observeDisk(system, datastore);
  const shares = !parent.target.preallocated && SHARING.includes(filesystem);
  await refuseCopy(parent, system, shares);
  const how = shares
    ? 'by sharing its blocks'
    : `whole (${parent.target.preallocated ? 'the blocks of a preallocated one are not shared' : `${filesystem} cannot share blocks`})`;
  const isFrozen = shares && (await parent.observe()).mounted;
  const copy = `copy the image of "${name}" ${how}${isFrozen ? ', its filesystem frozen for that moment' : ''}`;
  const steps = [{ id: 'fork.copy', title: copy }, ...Object.values(STEPS)];
  report({ kind: 'plan', steps: steps.map((step): PlanStep => ({ ...step, expect: 'change' })) });
  return { outcome: 'planned' };
}

function outputOf(record: RepoRecord, rest: Copied | { changed: false } | ({ changed: true } & Copied)): Output {
  const { name, guid, networkId, parent } = record;
  if (parent === undefined) throw new RdcError('INTERNAL', `the record of the fork "${name}" names no parent`);
  return { name, guid, networkId, parent, state: 'closed', changed: true, ...rest };
}
