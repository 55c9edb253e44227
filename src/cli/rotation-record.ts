// How credentials.json goes through a rotation. A run goes on when its follower is gone, and several rdc may work at
// once: whoever writes looks at what is there now, so that the one credential that opens is never written over.
import { RdcError } from '../protocol/errors.ts';
import type { Credential, StoredCredential } from './credentials.ts';

type Change = (now: StoredCredential | undefined) => StoredCredential;

/** Both are kept from here on. Throws BUSY where another rdc has begun or ended a rotation since `read`. */
export function begun(read: StoredCredential | undefined, before: Credential, next: Credential): Change {
  return (now) => {
    if (isSame(now, read) && isSame(now?.next, read?.next)) return { value: before.value, kdf: before.kdf, next };
    throw new RdcError('BUSY', 'another rdc is changing this credential', {
      hint: 'repeat the command when it has ended',
    });
  };
}

/** `next` was seen to be the one. Where something else is kept by now, that is newer. */
export function ended(next: Credential): Change {
  return (now) => (now === undefined || isSame(now.next, next) ? { value: next.value, kdf: next.kdf } : now);
}

/** `added` opens, but that of a rotation under way may be the only one that does when it ends. */
export function added(credential: Credential): Change {
  return (now) => {
    if (now !== undefined && (isSame(now, credential) || isSame(now.next, credential))) return now;
    return now?.next === undefined ? credential : { ...credential, next: now.next };
  };
}

function isSame(a: Credential | undefined, b: Credential | undefined): boolean {
  return a === undefined || b === undefined ? a === b : a.value.equals(b.value);
}
