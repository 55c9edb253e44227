// credentials.json: the credentials of repositories by GUID, the only secrets that rdc keeps. While a rotation is under
// way both the old and the new one are in it: which of them opens is asked of the machine at the next use.
import { join } from 'node:path';
import * as z from 'zod';
import { type Guid, guidSchema } from '../protocol/ids.ts';
import { revealForWire, Secret, secretSchema } from '../protocol/secret.ts';
import { entry } from './config-file.ts';
import { type StateFile, stateFile } from './state-file.ts';

/** "random": 256 random bits made by us; "passphrase": anything else, so its slot is made slow to guess. */
const kdfSchema = z.enum(['random', 'passphrase']);
const keySchema = z.strictObject({ value: secretSchema, kdf: kdfSchema });

const fileSchema = z.strictObject({
  version: z.literal(1, 'not a version that this rdc knows'),
  credentials: z.record(guidSchema, keySchema.extend({ next: keySchema.optional() })),
});

export type Kdf = z.infer<typeof kdfSchema>;

export interface Credential {
  value: Secret;
  kdf: Kdf;
}

export interface StoredCredential extends Credential {
  /** A new one that the machine may or may not have taken yet. */
  next?: Credential | undefined;
}

export interface CredentialStore {
  path: string;
  get(guid: Guid): Promise<StoredCredential | undefined>;
  /** Replaces whatever was there. */
  put(guid: Guid, credential: StoredCredential): Promise<void>;
  /** Decided from what is there now: another rdc may have written since it was read. When `change` throws, nothing is written. */
  change(guid: Guid, change: (now: StoredCredential | undefined) => StoredCredential): Promise<void>;
  remove(guid: Guid): Promise<void>;
  known(): Promise<ReadonlySet<Guid>>;
}

export function credentialStore({ configDir, dryRun }: { configDir: string; dryRun: boolean }): CredentialStore {
  const file: StateFile<z.infer<typeof fileSchema>> = stateFile({
    path: join(configDir, 'credentials.json'),
    schema: fileSchema,
    empty: () => ({ version: 1 as const, credentials: {} }),
    encode: revealForWire,
    dryRun,
  });
  return {
    path: file.path,
    async get(guid) {
      return entry((await file.read()).credentials, guid);
    },
    put: (guid, credential) =>
      file.update((draft) => {
        draft.credentials[guid] = credential;
      }),
    change: (guid, change) =>
      file.update((draft) => {
        draft.credentials[guid] = change(entry(draft.credentials, guid));
      }),
    remove: (guid) =>
      file.update((draft) => {
        delete draft.credentials[guid];
      }),
    async known() {
      return new Set(Object.keys((await file.read()).credentials) as Guid[]);
    },
  };
}

/** 256 bits in the 43 letters of base64url: a person can copy it, every shell and file takes it as it is. */
export function generateCredential(randomBytes: (size: number) => Uint8Array): Credential {
  return { value: new Secret(Buffer.from(randomBytes(32)).toString('base64url')), kdf: 'random' };
}
