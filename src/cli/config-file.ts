// config.json: contexts with their machines and repositories. No secret is in it, so it can be shared.
import { isAbsolute, join } from 'node:path';
import * as z from 'zod';
import {
  absolutePathSchema,
  contextNameSchema,
  guidSchema,
  machineNameSchema,
  repoNameSchema,
} from '../protocol/ids.ts';
import { supervisionSettingsSchema } from '../protocol/supervision.ts';
import { type StateFile, stateFile } from './state-file.ts';

export const hostSchema = z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9_.:%-]{0,254}$/, 'not an address or a host name');
export const userSchema = z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9_.@\\-]{0,63}$/, 'not a login name');
const PORT_RULE = 'not a port number (1 to 65535)';
export const portSchema = z.number(PORT_RULE).int(PORT_RULE).min(1, PORT_RULE).max(65535, PORT_RULE);
export const mirrorSchema = z.url({ protocol: /^https?$/, error: 'not an http or https address' });
const keyFileSchema = z.string().refine(isAbsolute, 'not an absolute path');

export const machineSchema = z.strictObject({
  ip: hostSchema,
  user: userSchema,
  port: portSchema.default(22),
  datastore: absolutePathSchema.default('/mnt/rediacc'),
  /** "ssh-ed25519 AAAA…": nothing else is trusted. */
  hostKeys: z.array(z.string().regex(/^[a-z0-9@.-]+ [A-Za-z0-9+/]+=*$/, 'not a host key')).default([]),
  /** Overrides the context's. */
  sshKey: keyFileSchema.optional(),
  registryMirrors: z.array(mirrorSchema).optional(),
});

export const recordSchema = z.strictObject({
  name: repoNameSchema,
  machine: machineNameSchema,
  /** Asked for, and not yet known to exist: a create that was cut off. Repeating it finishes it. */
  creating: z.literal(true).optional(),
});

export const contextSchema = z.strictObject({
  sshKey: keyFileSchema.optional(),
  ssh: z.enum(['auto', 'openssh', 'builtin']).optional(),
  /** What machines that are set up from here run for each event, until one is told otherwise. */
  notifyCommand: supervisionSettingsSchema.shape.notifyCommand.unwrap().optional(),
  machines: z.record(machineNameSchema, machineSchema).default({}),
  repositories: z.record(guidSchema, recordSchema).default({}),
});

const configSchema = z.strictObject({
  version: z.literal(1, 'not a version that this rdc knows'),
  current: contextNameSchema.optional(),
  contexts: z.record(contextNameSchema, contextSchema),
});

export type Machine = z.infer<typeof machineSchema>;
export type RepositoryRecord = z.infer<typeof recordSchema>;
export type Context = z.infer<typeof contextSchema>;
export type Config = z.infer<typeof configSchema>;
export type ConfigFile = StateFile<Config>;

export function configFile({ configDir, dryRun }: { configDir: string; dryRun: boolean }): ConfigFile {
  return stateFile<Config>({
    path: join(configDir, 'config.json'),
    schema: configSchema,
    empty: () => ({ version: 1, contexts: {} }),
    dryRun,
  });
}

/** An own entry: "constructor" is a name like any other. */
export function entry<V>(record: Readonly<Partial<Record<string, V>>>, key: string): V | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}
