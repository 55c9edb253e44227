// The first line each side sends, before any JSON-RPC: who speaks, which protocol, and what the session is for.
// See docs/decisions/0002-wire-protocol.md.
import { z } from 'zod';
import { repoRefSchema } from './ids.ts';

/** Raised when an old program could not understand a new one. */
export const PROTOCOL_VERSION = 1;

/** rsync's server side inside one repository. Bytes follow the two hello lines in both directions. */
export const rsyncStreamSchema = z.object({
  kind: z.literal('rsync'),
  repo: repoRefSchema,
  /** The words that rsync would have given to its remote shell: `rsync --server …`. */
  argv: z.array(z.string()).min(2),
  /** Directory inside the repository, relative to its mount; "" is the mount itself. */
  directory: z.string(),
});

export const clientHelloSchema = z.object({
  rdc: z.literal(1),
  protocol: z.number().int(),
  version: z.string(),
  /** Who asks, shown to others who find the repository busy: user@workstation. */
  actor: z.string().max(200),
  session: z.discriminatedUnion('type', [
    z.object({ type: z.literal('rpc') }),
    z.object({ type: z.literal('stream'), stream: rsyncStreamSchema }),
  ]),
});

export const serverHelloSchema = z.object({
  renet: z.literal(1),
  protocol: z.number().int(),
  version: z.string(),
  /** sha-256 of the agent's bundle, hex: the CLI compares it with the one it carries. */
  bundle: z.string(),
  /** Set when the session ends here, e.g. a stream that cannot be opened. */
  error: z
    .object({ code: z.string(), message: z.string(), hint: z.string().optional(), detail: z.string().optional() })
    .optional(),
  /** True once setup has recorded a datastore in /etc/rediacc. */
  setUp: z.boolean(),
});

export type ClientHello = z.infer<typeof clientHelloSchema>;
export type ServerHello = z.infer<typeof serverHelloSchema>;
export type RsyncStream = z.infer<typeof rsyncStreamSchema>;

/** The agent's line starts with this; whatever comes before it is login noise (motd, .bashrc) and is shown when the hello never comes. */
export const SERVER_HELLO_PREFIX = '{"renet":1,';
