// The start of the marked repositories at boot: all of them within the machine's means, a broken one never stops the rest,
// and what could not be done yet is tried again. How it went is kept for `rdc repo autostart list`.
import { availableParallelism } from 'node:os';
import pLimit from 'p-limit';
import * as z from 'zod';
import type { System } from '../lifecycle/system.ts';
import { allRowSchema } from '../protocol/answers.ts';
import type { OutputOf, RepoSummary, RunSummary } from '../protocol/operations.ts';
import type { Finished, QueryContext, RunContext } from './handlers.ts';
import { MOST_RUNS, notStarted } from './interrupted-boot.ts';
import { STATE_DIR } from './layout.ts';
import { type AllDeps, carryOutOne, damagedRow, outcomeOf, type Row, type Terms } from './repo-all.ts';
import { cancellation } from './run-command.ts';

const BOOT_FILE = `${STATE_DIR}/autostart.json`;
const bootSchema = z.object({ repositories: z.array(allRowSchema.extend({ at: z.number() })) });
type Boot = z.infer<typeof bootSchema>;

/** Milliseconds before one that failed is tried again: a network, a registry or a clock may come late, a daemon start too slowly while everything starts. */
const RETRIES_MS = [15_000, 60_000, 240_000];
/** After so many milliseconds one that is not up yet, as its prep() hangs, no longer counts: the others begin beside it. */
const PATIENCE_MS = 300_000;
/** What no time mends; the rest is tried again. */
const FINAL = new Set([
  'WRONG_CREDENTIAL',
  'CREDENTIAL_MISSING',
  'VOLUME_DAMAGED',
  'VOLUME_IN_USE',
  'NO_SPACE',
  'CANCELLED',
]);

export interface BootDeps extends Pick<AllDeps, 'runs' | 'listRepos' | 'damaged'> {
  /** It was tried as often as makes sense. Told at once: another one may hang. */
  giveUp(repo: Pick<RepoSummary, 'guid' | 'name'>, reason: string): void;
}

export async function startAtBoot(
  { runs, listRepos, damaged, giveUp }: BootDeps,
  context: RunContext,
): Promise<Finished<OutputOf<'machine.autostart'>>> {
  const begunAt = Date.now();
  const due = (await listRepos(context)).filter(({ autostart }) => autostart);
  if (context.dryRun) {
    const steps = due.map(({ guid, name }) => ({
      id: `repo.${guid}`,
      title: `start "${name}"`,
      expect: 'change' as const,
    }));
    context.report({ kind: 'plan', steps });
    return { outcome: 'planned' };
  }
  const limit = pLimit(availableParallelism() + 1);
  const saving = pLimit(1);
  const boot: Boot = { repositories: [] };
  // Whether they were marked is in what cannot be read.
  const unknown = (await damaged(context)).map(damagedRow);
  for (const row of unknown) await keep(row);
  for (const { guid, name, reason } of unknown) giveUp({ guid, name }, notStarted(reason));
  const rows = [...(await Promise.all(due.map((repo) => startOne(repo)))), ...unknown];
  if (context.signal.aborted) throw cancellation(context.signal);
  return { outcome: outcomeOf(rows), output: { repositories: rows } };

  async function startOne(repo: RepoSummary): Promise<Row> {
    const terms: Terms = { context, runs, waitMs: 0 };
    for (let attempt = 0; ; attempt += 1) {
      const { code, ...row } = await attemptOf(repo, terms);
      await keep(row);
      const pause = RETRIES_MS[attempt];
      if (code === undefined || FINAL.has(code) || pause === undefined || context.signal.aborted) {
        if (row.result === 'failed' && code !== 'CANCELLED') giveUp(repo, notStarted(row.reason));
        return row;
      }
      context.report({ kind: 'warning', message: `"${repo.name}" is tried again in ${pause / 1000} s: ${row.reason}` });
      await context.system.sleep(pause);
      const since = touchedBy(await runs.list(MOST_RUNS), repo, begunAt);
      if (since === undefined) continue;
      const leftAlone: Row = { ...row, result: 'skipped', reason: `${since} after it failed: it is left so` };
      await keep(leftAlone);
      return leftAlone;
    }
  }

  async function keep(row: Row): Promise<void> {
    const others = boot.repositories.filter(({ guid }) => guid !== row.guid);
    boot.repositories = [...others, { ...row, at: Date.now() }];
    // One after the other, or an earlier state could be the last one written.
    await saving(async () => context.system.writeFile(BOOT_FILE, `${JSON.stringify(boot, null, 2)}\n`, 0o600));
  }

  function attemptOf(repo: RepoSummary, terms: Terms): ReturnType<typeof carryOutOne> {
    return new Promise((resolve, reject) => {
      void limit(async () => {
        const attempt = carryOutOne(repo, orderOf(repo), terms);
        attempt.then(resolve, reject);
        // A cancelled run ends its attempts itself.
        const patience = context.system.sleep(PATIENCE_MS).catch(() => attempt);
        await Promise.race([attempt, patience]).catch(() => undefined);
      });
    });
  }
}

/** What a person has stopped stays so, and what they have started is theirs: who did what, if anybody did. */
function touchedBy(runs: readonly RunSummary[], { name }: RepoSummary, begunAt: number): string | undefined {
  const touch = runs.find(({ repo, actor, startedAt }) => repo === name && actor !== 'boot' && startedAt >= begunAt);
  return touch === undefined ? undefined : `${touch.actor} has run "${touch.operation.replace('.', ' ')}"`;
}

/** The machine's key is the only one at hand. */
function orderOf({ guid, state, busy }: RepoSummary) {
  if (state === 'up' && busy === undefined) return { result: 'already' as const, reason: 'it is up' };
  return { operation: 'repo.up' as const, input: { repo: guid, mount: true, prepOnly: false } };
}

export async function listAutostart(
  context: QueryContext,
  listRepos: AllDeps['listRepos'],
): Promise<OutputOf<'repo.autostart-list'>> {
  const [repos, boot] = await Promise.all([listRepos(context), readBoot(context.system)]);
  const repositories = repos.map(({ name, guid, autostart, state }) => {
    const found = boot.repositories.find((row) => row.guid === guid);
    if (!autostart || found === undefined) return { name, guid, state, enabled: autostart };
    const { name: _, guid: __, ...lastBoot } = found;
    return { name, guid, state, enabled: true, lastBoot };
  });
  return { repositories };
}

/** Only a report: one that was torn by a power cut is none. */
async function readBoot(system: System): Promise<Boot> {
  try {
    return bootSchema.parse(JSON.parse((await system.readFile(BOOT_FILE)) ?? ''));
  } catch {
    return { repositories: [] };
  }
}
