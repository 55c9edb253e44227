// Reaching entries of a tree by directories that are held open, one below the other, without following links: so
// nobody who writes in the tree at the same time can slip one in between. Paths come parents first, as find(1) gives
// them, so that few directories have to be opened anew.
import { closeSync, constants, fstatSync, lchownSync, lstatSync, openSync } from 'node:fs';
import { codeOf } from './linux-files.ts';

const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
/** The entry is gone or has become something else since it was found. */
const CHANGED = ['ENOENT', 'ENOTDIR', 'ELOOP'];

interface OpenDirectory {
  name: string;
  fd: number;
  uid: number;
  gid: number;
}

/** Names are bytes, as latin1. The calls are synchronous: each takes microseconds and there may be a million. */
export class OpenDirectories {
  readonly #chain: OpenDirectory[];

  constructor(top: string) {
    this.#chain = [opened('', openSync(top, DIRECTORY))];
  }

  /** Gives an entry that belongs to root the owner and group of the directory it lies in. */
  handToOwner(path: string): void {
    const parts = path.split('/').filter((part) => part !== '.');
    const name = parts.pop() ?? '';
    try {
      const { fd, uid, gid } = this.#descend(parts);
      const entry = through(fd, name);
      if ((uid !== 0 || gid !== 0) && lstatSync(entry).uid === 0) lchownSync(entry, uid, gid);
    } catch (error) {
      if (!CHANGED.includes(codeOf(error) ?? '')) throw error;
    }
  }

  close(): void {
    for (const { fd } of this.#chain.splice(0)) closeSync(fd);
  }

  #descend(parts: readonly string[]): OpenDirectory {
    let common = 0;
    while (common < parts.length && this.#chain[common + 1]?.name === parts[common]) common++;
    for (const { fd } of this.#chain.splice(common + 1)) closeSync(fd);
    for (const name of parts.slice(common)) {
      this.#chain.push(opened(name, openSync(through(this.#last().fd, name), DIRECTORY)));
    }
    return this.#last();
  }

  #last(): OpenDirectory {
    const last = this.#chain.at(-1);
    if (last === undefined) throw new Error('the directories are closed');
    return last;
  }
}

function opened(name: string, fd: number): OpenDirectory {
  const { uid, gid } = fstatSync(fd);
  return { name, fd, uid, gid };
}

function through(fd: number, name: string): Buffer {
  return Buffer.from(`/proc/self/fd/${fd}/${name}`, 'latin1');
}
