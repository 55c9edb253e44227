// Opens the log of a new run: on disk, unless it is a dry run, which leaves no trace, or the disk does not take it: then
// the run goes on without one (a full disk must not keep anybody from stopping a service) and says so.
import { messageOf } from '../protocol/errors.ts';
import type { RunResult } from '../protocol/operations.ts';
import { type Journal, type JournalSettings, openJournal } from './journal.ts';
import { memoryJournal } from './memory-journal.ts';
import { type RunRequest, removeRun, writeRequest, writeResult } from './run-files.ts';

export interface RunLog {
  journal: Journal;
  /** It has a directory of its own. */
  hasDirectory: boolean;
  /** Closes the journal and writes the result; false: it is not on disk. */
  keep(result: RunResult): Promise<boolean>;
}

export interface RunLogSettings extends Pick<JournalSettings, 'onMore' | 'onTrouble'> {
  directory: string;
  request: RunRequest;
  dryRun: boolean;
}

export async function openRunLog(settings: RunLogSettings): Promise<RunLog> {
  const { directory, request, dryRun, onTrouble } = settings;
  if (dryRun) return inMemory(settings);
  try {
    return await onDisk(settings);
  } catch (error) {
    const reason = messageOf(error);
    onTrouble(`run ${request.run} goes on without a log: ${reason}`);
    await removeRun(directory).catch((again: unknown) => onTrouble(`${directory} cannot be removed: ${String(again)}`));
    const log = inMemory(settings);
    log.journal.append({ kind: 'warning', message: `the log of this run cannot be kept on the server: ${reason}` });
    return log;
  }
}

async function onDisk({ directory, request, onMore, onTrouble }: RunLogSettings): Promise<RunLog> {
  const { run } = request;
  const journal = await openJournal(directory, { run, onMore, onTrouble });
  try {
    await writeRequest(directory, request);
  } catch (error) {
    await journal.close();
    throw error;
  }
  return {
    journal,
    hasDirectory: true,
    async keep(result) {
      try {
        await journal.close();
        await writeResult(directory, result, Date.now());
        return true;
      } catch (error) {
        onTrouble(`the end of run ${run} cannot be kept: ${messageOf(error)}`);
        return false;
      }
    },
  };
}

function inMemory({ request, onMore }: RunLogSettings): RunLog {
  return { journal: memoryJournal({ run: request.run, onMore }), hasDirectory: false, keep: async () => false };
}
