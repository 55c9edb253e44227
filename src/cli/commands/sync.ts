// rdc sync upload and download: files into and out of an open repository, by rsync over rdc's own connection.
import { mkdir, stat } from 'node:fs/promises';
import { RdcError } from '../../protocol/errors.ts';
import { repoRefSchema } from '../../protocol/ids.ts';
import { formatSize } from '../../protocol/size.ts';
import { type Command, defineCommand, flag, option, requiredOption } from '../command.ts';
import type { CommandContext } from '../context.ts';
import { parseWith } from '../parse.ts';
import { expandPath } from '../paths.ts';
import { sayDone } from '../render.ts';
import type { SyncChange, SyncRequest, SyncResult } from '../sync-transport.ts';
import { type RepositoryTarget, repositoryTarget } from '../target.ts';
import { machineOfRepo, yes } from './options.ts';

const upload = syncCommand('upload', 'copy a directory into a repository');
const download = syncCommand('download', 'copy files out of a repository into a directory');

function syncCommand(direction: SyncRequest['direction'], summary: string): Command {
  return defineCommand({
    name: `sync ${direction}`,
    summary,
    details:
      'Copies what is in the directory, not the directory itself, and only what differs. The repository must be open. ' +
      'With --mirror, files that the source does not have are deleted at the destination, after a question.',
    args: {},
    options: {
      machine: machineOfRepo,
      repo: requiredOption('-r, --repo <name>', 'the repository', parseWith(repoRefSchema)),
      local: requiredOption('--local <dir>', 'the directory on this workstation'),
      remote: option('--remote <dir>', 'a directory inside the repository; without it, its root'),
      mirror: flag('--mirror', 'delete at the destination what the source does not have'),
      checksum: flag('--checksum', 'compare contents, not only size and time'),
      yes,
    },
    changes: 'workstation',
    async run(command, { machine, repo: name, local, remote = '', mirror, checksum, yes: sure }) {
      const repo = await repositoryTarget(command, name, machine);
      const request = { direction, local: expandPath(local, command.env, command.cwd), remote, mirror, checksum };
      await checkLocal(command, request);
      if (mirror && !sure && !command.dryRun) await confirmDeletions(command, repo, request);
      const result = await command.sync(repo, { ...request, dryRun: command.dryRun });
      showResult(command, repo, direction, result);
      return undefined;
    },
  });
}

/** A mistyped source must not empty the destination, and a mistyped destination not be made by a dry run. */
async function checkLocal({ dryRun }: CommandContext, { direction, local }: SyncRequest): Promise<void> {
  if (direction === 'download') {
    if (!dryRun) await mkdir(local, { recursive: true });
    return;
  }
  const found = await stat(local).catch(() => undefined);
  if (found?.isDirectory() === true) return;
  const what = found === undefined ? 'does not exist' : 'is not a directory';
  throw new RdcError('INVALID_INPUT', `${local} ${what}`);
}

async function confirmDeletions(command: CommandContext, repo: RepositoryTarget, request: SyncRequest): Promise<void> {
  const { io, ask } = command;
  const { changes } = await command.sync(repo, { ...request, dryRun: true });
  const deleted = changes.filter(({ kind }) => kind === 'delete');
  if (deleted.length === 0) return;
  const where = request.direction === 'upload' ? `in repository "${repo.name}"` : `in ${request.local}`;
  const many = `${deleted.length} ${deleted.length === 1 ? 'file or directory' : 'files and directories'}`;
  if (!io.canAsk) {
    throw new RdcError('CONFIRMATION_NEEDED', `--mirror would delete ${many} ${where}`, {
      hint: 'look at them with --dry-run, then give --yes',
    });
  }
  io.say(describeChanges(deleted.slice(0, 20)));
  if (deleted.length > 20) io.say(`  and ${deleted.length - 20} more`);
  if (!(await ask.confirm(`Delete ${many} ${where}?`))) throw new RdcError('CANCELLED', 'nothing was changed');
}

function describeChanges(changes: readonly SyncChange[]): string {
  const sign = ({ kind, isNew }: SyncChange) => (kind === 'delete' ? '-' : isNew ? '+' : '~');
  return changes.map((change) => `${sign(change)} ${change.path}`).join('\n');
}

function counted(files: number): string {
  return files === 1 ? '1 file' : `${files} files`;
}

function showResult(
  { io, dryRun }: CommandContext,
  { name, machine }: RepositoryTarget,
  direction: SyncRequest['direction'],
  { changes, ...stats }: SyncResult,
): void {
  const { filesTransferred, filesDeleted, bytesTransferred } = stats;
  if (dryRun && changes.length > 0) io.print(describeChanges(changes));
  const deleted = filesDeleted > 0 ? `, ${filesDeleted} deleted` : '';
  const where = direction === 'upload' ? 'copied into' : 'copied from';
  const copied = `${counted(filesTransferred)} (${formatSize(bytesTransferred)}) ${where} "${name}"`;
  const what = `${copied}${deleted}`;
  if (filesTransferred === 0 && filesDeleted === 0) io.say('= already: nothing differs');
  else sayDone(io, dryRun, what);
  const document = { machine: machine.name, repo: name, direction, dryRun, ...stats };
  io.printJson(dryRun ? { ...document, changes } : document);
}

export const SYNC_COMMANDS = [upload, download];
