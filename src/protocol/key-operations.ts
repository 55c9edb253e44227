// Operations on the keys and the header of a repository's volume.
import * as z from 'zod';
import { guidSchema, repoNameSchema } from './ids.ts';
import { operation } from './operation.ts';
import { changedRepo, kdf, oneRepo } from './repo-shapes.ts';
import { secretSchema } from './secret.ts';

export const KEY_OPERATIONS = {
  'repo.reencrypt': operation({
    summary: 'repo reencrypt',
    /** Of a closed repository whose slot 0 the credential opens; one that was cut off goes on where it stood. */
    input: oneRepo.extend({ credential: secretSchema, kdf }),
    output: changedRepo,
    changes: true,
  }),
  'repo.autostart-enable': operation({
    summary: 'repo autostart enable',
    input: oneRepo.extend({ credential: secretSchema }),
    output: changedRepo,
    changes: true,
  }),
  'repo.autostart-disable': operation({
    summary: 'repo autostart disable',
    input: oneRepo.extend({ credential: secretSchema }),
    output: changedRepo,
    changes: true,
  }),
  'repo.verify-credential': operation({
    summary: 'whether a credential opens the repository',
    input: oneRepo.extend({ credential: secretSchema }),
    output: z.object({ name: repoNameSchema, guid: guidSchema, opens: z.boolean() }),
    changes: false,
  }),
  'repo.rotate-credential': operation({
    summary: 'repo credential rotate',
    input: oneRepo.extend({ credential: secretSchema, newCredential: secretSchema, kdf }),
    output: changedRepo,
    changes: true,
  }),
  'repo.restore-header': operation({
    summary: 'repo restore-header',
    input: oneRepo.extend({ credential: secretSchema }),
    output: changedRepo,
    changes: true,
  }),
} as const;
