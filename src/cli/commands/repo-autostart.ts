// rdc repo autostart: which repositories a machine starts by itself when it boots.
import { formatDuration } from '../../protocol/duration.ts';
import { RdcError } from '../../protocol/errors.ts';
import type { OutputOf, RunOperation } from '../../protocol/operations.ts';
import type { Secret } from '../../protocol/secret.ts';
import type { AgentClient } from '../agent-client.ts';
import { call, runOperation, withAgent } from '../agent-run.ts';
import { defineCommand } from '../command.ts';
import type { CommandContext } from '../context.ts';
import { credentialMissing, givenCredential, withCredential } from '../credential-source.ts';
import type { Paint } from '../io.ts';
import { paintState, renderTable, renderTime, sayDone } from '../render.ts';
import { showEnd } from '../repo-end.ts';
import type { RunEnd } from '../run-end.ts';
import { currentPlace, machineTarget, type RepositoryTarget, recordsNamed, repositoryTarget } from '../target.ts';
import { credentialSource, machineOfRepo, machineOption, repoArgument } from './options.ts';

type Change = 'repo.autostart-enable' | 'repo.autostart-disable';
type Listed = OutputOf<'repo.autostart-list'>['repositories'][number];

const KEY_ON_SERVER =
  'A key for it then lies on the server, for root only: whoever is root there can open it without the credential.';

interface ChangeWords {
  verb: string;
  summary: string;
  details: string;
  /** What is so in the end, and what came of it only now. */
  told(repo: string, machine: string): { state: string; news: string };
}

function changeCommand(operation: Change, { verb, summary, details, told }: ChangeWords) {
  return defineCommand({
    ...{ name: `repo autostart ${verb}`, summary, details },
    args: { name: repoArgument },
    options: { machine: machineOfRepo, ...credentialSource },
    changes: 'machine',
    async run(command, { name, machine: machineName, ...source }) {
      const repo = await repositoryTarget(command, name, machineName);
      const { machine } = repo;
      const given = await givenCredential(command, source);
      return await withAgent(command, machine, async (client) => {
        const end = await change(command, { client, repo, given }, operation);
        const { state, news } = told(repo.name, machine.name);
        return showEnd(command, machine, end, { done: `${state}; ${news}`, already: state });
      });
    },
  });
}

const enable = changeCommand('repo.autostart-enable', {
  verb: 'enable',
  summary: 'start a repository when its machine boots',
  details: `Needs the credential once. ${KEY_ON_SERVER}`,
  told: (repo, machine) => ({
    state: `repository "${repo}" starts when "${machine}" boots`,
    news: 'a key for it now lies on that machine',
  }),
});

const disable = changeCommand('repo.autostart-disable', {
  verb: 'disable',
  summary: 'no longer start a repository when its machine boots',
  details: "Removes the machine's key for it, from the image and from the disk. What runs goes on.",
  told: (repo, machine) => ({
    state: `repository "${repo}" does not start when "${machine}" boots`,
    news: 'its key is gone from there',
  }),
});

const enableAll = defineCommand({
  name: 'repo autostart enable-all',
  summary: 'start all repositories of a machine when it boots',
  details: `Those whose credential this workstation does not hold are told, and the exit code is then 3. ${KEY_ON_SERVER}`,
  args: {},
  options: { machine: machineOption },
  changes: 'machine',
  async run(command, { machine: machineName }) {
    const { io } = command;
    const machine = await machineTarget(command, machineName);
    const { context } = await currentPlace(command);
    return await withAgent(command, machine, async (client) => {
      const { repositories } = await call(command, client, 'repo.autostart-list', {});
      const rows: ({ name: string } & Tried)[] = [];
      for (const { name, guid, enabled } of repositories) {
        if (enabled) {
          rows.push({ name, result: 'already' });
          continue;
        }
        const isRecorded = recordsNamed(context, guid).some(({ record }) => record.machine === machine.name);
        const repo: RepositoryTarget = { machine, name, ref: guid, guid: isRecorded ? guid : undefined };
        rows.push({ name, ...(await tryOne(command, client, repo)) });
      }
      io.printJson({ machine: machine.name, dryRun: command.dryRun, repositories: rows });
      for (const { name, result, reason, run } of rows)
        io.say(`${name}: ${reason ?? result}${command.detach && run !== undefined ? ` as run ${run}` : ''}`);
      const failed = rows.filter(({ result }) => result === 'failed');
      if (failed.length > 0) return 'PARTIAL';
      // What goes on without us may still fail; the runs are named above.
      if (!command.detach) sayDone(io, command.dryRun, `all repositories of "${machine.name}" start when it boots`);
      return undefined;
    });
  },
});

interface Tried {
  result: string;
  reason?: string;
  run?: string;
}

async function tryOne(command: CommandContext, client: AgentClient, repo: RepositoryTarget): Promise<Tried> {
  try {
    const { outcome, run } = await change(command, { client, repo, given: undefined }, 'repo.autostart-enable');
    return { result: outcome, run };
  } catch (error) {
    if (!(error instanceof RdcError) || error.code === 'INTERRUPTED' || error.code === 'CONNECTION_LOST') throw error;
    return { result: 'failed', reason: error.message };
  }
}

async function change(
  command: CommandContext,
  opening: { client: AgentClient; repo: RepositoryTarget; given: Secret | undefined },
  operation: Change & RunOperation,
): Promise<RunEnd<OutputOf<Change>>> {
  const { client, repo } = opening;
  return await withCredential(command, opening, async (credential) => {
    if (credential === undefined) throw credentialMissing(repo.name);
    return await runOperation(command, { client, machine: repo.machine }, operation, { repo: repo.ref, credential });
  });
}

const list = defineCommand({
  name: 'repo autostart list',
  summary: 'show which repositories a machine starts when it boots, and how the last boot went',
  args: {},
  options: { machine: machineOption },
  changes: 'nothing',
  async run(command, { machine: machineName }) {
    const { io } = command;
    const machine = await machineTarget(command, machineName);
    const { repositories } = await withAgent(command, machine, (client) =>
      call(command, client, 'repo.autostart-list', {}),
    );
    io.printJson({ machine: machine.name, repositories });
    if (repositories.length === 0) io.say(`there is no repository on "${machine.name}" yet`);
    else if (!io.json) io.print(await renderList(repositories, io.paintOut));
    return undefined;
  },
});

async function renderList(repositories: readonly Listed[], paint: Paint): Promise<string> {
  const rows = repositories.map(({ name, enabled, state, lastBoot }) => [
    name,
    enabled ? 'on' : 'off',
    paintState(state, paint),
    lastBoot === undefined
      ? ''
      : `${paintState(lastBoot.result, paint)} ${renderTime(lastBoot.at)} (${formatDuration(lastBoot.ms)})`,
    lastBoot?.reason ?? '',
  ]);
  return await renderTable(['NAME', 'AUTOSTART', 'STATE', 'LAST BOOT', ''], rows, paint);
}

export const AUTOSTART_COMMANDS = [enable, enableAll, disable, list];
