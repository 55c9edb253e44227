// What rsync has written belongs to root. A service that runs as another user must be able to use it: every new entry
// takes the owner of the directory it lies in, top down. Directories are held open and entries reached through them,
// so that nobody can slip a link in between.
import { constants } from 'node:fs';
import { type FileHandle, lchown, lstat, open, readdir } from 'node:fs/promises';

const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/** Entries below `directory` of the mount that changed since `since` (milliseconds, the server's clock). `.rediacc` is ours and is not looked at. */
export async function giveToDirectoryOwners(mountPoint: string, directory: string, since: number): Promise<void> {
  let handle = await open(mountPoint, DIRECTORY);
  const above: FileHandle[] = [];
  try {
    for (const name of directory.split('/').filter((part) => part !== '' && part !== '.')) {
      await adopt(handle, name, since);
      above.push(handle);
      handle = await open(through(handle, name), DIRECTORY);
    }
    await descend(handle, since, above.length === 0);
  } finally {
    for (const open of [...above, handle]) await open.close();
  }
}

async function descend(directory: FileHandle, since: number, isMount: boolean): Promise<void> {
  for (const entry of await readdir(through(directory, '.'), { withFileTypes: true })) {
    if (isMount && entry.name === '.rediacc') continue;
    await adopt(directory, entry.name, since);
    if (!entry.isDirectory()) continue;
    const child = await open(through(directory, entry.name), DIRECTORY);
    try {
      await descend(child, since, false);
    } finally {
      await child.close();
    }
  }
}

/** Only what root owns, in a directory that root does not own: nothing else can be rsync's doing. */
async function adopt(directory: FileHandle, name: string, since: number): Promise<void> {
  const owner = await directory.stat();
  if (owner.uid === 0) return;
  const path = through(directory, name);
  const entry = await lstat(path);
  if (entry.uid === 0 && entry.ctimeMs >= since - 1000) await lchown(path, owner.uid, owner.gid);
}

function through({ fd }: FileHandle, name: string): string {
  return `/proc/self/fd/${fd}/${name}`;
}
