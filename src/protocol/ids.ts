// Everything that can reach a path, a unit name, a device name or an argument list is checked here first.
import * as z from 'zod';

const NAME_RULE = 'use 1 to 63 of a-z, A-Z, 0-9, "-", "_", starting with a letter or a digit';

function nameSchema(noun: string) {
  return z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/, {
    error: (issue) => `${JSON.stringify(issue.input)} is no legal ${noun}: ${NAME_RULE}`,
  });
}

export const repoNameSchema = nameSchema('repository name').brand<'RepoName'>();
export const machineNameSchema = nameSchema('machine name').brand<'MachineName'>();
export const contextNameSchema = nameSchema('context name').brand<'ContextName'>();

/** RFC 9562 text form, lower case: the one spelling that paths and unit names use. */
export const guidSchema = z
  .string()
  .regex(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/, 'not a lower-case GUID')
  .brand<'Guid'>();

/** A repository by its name or its GUID. */
export const repoRefSchema = z.union([guidSchema, repoNameSchema]);

export const FIRST_NETWORK_ID = 2816;
export const NETWORK_ID_STEP = 64;
/** 127.255.255.192/26 is the last block of 127.0.0.0/8. */
export const LAST_NETWORK_ID = 0xffffff - 63;

export const networkIdSchema = z
  .number()
  .int()
  .min(FIRST_NETWORK_ID)
  .max(LAST_NETWORK_ID)
  .refine((id) => (id - FIRST_NETWORK_ID) % NETWORK_ID_STEP === 0, 'network ids start at 2816 and step by 64')
  .brand<'NetworkId'>();

/** Sortable by start: 12 hex digits of milliseconds, then 8 random hex digits. */
export const runIdSchema = z
  .string()
  .regex(/^[0-9a-f]{12}-[0-9a-f]{8}$/, 'not a run id')
  .brand<'RunId'>();

/** An absolute path without `..`, NUL or line break; used for the datastore. */
export const absolutePathSchema = z
  .string()
  .max(255)
  .regex(/^\/[A-Za-z0-9_./-]*$/, 'not an absolute path of letters, digits and "_ . / -"')
  .refine((path) => !path.split('/').includes('..'), 'the path contains ".."')
  .transform((path) => (path.length > 1 ? path.replace(/\/+$/, '') : path));

export type RepoName = z.infer<typeof repoNameSchema>;
export type MachineName = z.infer<typeof machineNameSchema>;
export type ContextName = z.infer<typeof contextNameSchema>;
export type Guid = z.infer<typeof guidSchema>;
export type RepoRef = z.infer<typeof repoRefSchema>;
export type NetworkId = z.infer<typeof networkIdSchema>;
export type RunId = z.infer<typeof runIdSchema>;
