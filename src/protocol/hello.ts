// The first line each side sends, before any JSON-RPC: who speaks, which protocol, and what the session is for.
// See docs/decisions/0002-wire-protocol.md.
import * as z from 'zod';
import { repoRefSchema } from './ids.ts';
import { terminalSchema } from './terminal.ts';
import { wireErrorSchema } from './wire-error.ts';

/** Raised when an old program could not understand a new one. */
export const PROTOCOL_VERSION = 1;

/** rsync's server side inside one repository. Its input follows the client's line as it is, its output the agent's line in frames (stream-frames.ts). */
export const rsyncStreamSchema = z.object({
  kind: z.literal('rsync'),
  repo: repoRefSchema,
  /** The words that rsync would have given to its remote shell: `rsync --server …`. */
  argv: z.array(z.string()).min(2),
  /** Directory inside the repository, relative to its mount; "" is the mount itself. */
  directory: z.string(),
});

/** docker compose on one repository's daemon, in its namespace. After the hello lines both directions are in frames. */
export const composeStreamSchema = z.object({
  kind: z.literal('compose'),
  repo: repoRefSchema,
  /** What follows `docker compose`. */
  words: z.array(z.string()).max(1000),
  /** Directory inside the repository, relative to its mount; "" is the mount itself. */
  directory: z.string(),
  /** Where a person sits at one: compose then has a terminal, too, and stdout carries all that it shows. */
  terminal: terminalSchema.optional(),
});

/** A new bundle for the agent that answers: its bytes follow the hello lines, then the agent sends one upgradeReplySchema line. */
export const upgradeSchema = z.object({
  type: z.literal('upgrade'),
  /** Becomes part of a path. */
  version: z.string().regex(/^[0-9A-Za-z][0-9A-Za-z.+-]{0,63}$/),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  bytes: z
    .number()
    .int()
    .min(1)
    .max(64 * 1024 ** 2),
});

/** `restarted: false`: the bundle is in place, but runs are going on; the agent changes over when they have ended. */
export const upgradeReplySchema = z.union([
  z.object({ upgraded: z.literal(true), restarted: z.boolean() }),
  z.object({
    upgraded: z.literal(false),
    error: wireErrorSchema,
  }),
]);

export const clientHelloSchema = z.object({
  rdc: z.literal(1),
  protocol: z.number().int(),
  version: z.string(),
  /** Who asks, shown to others who find the repository busy: user@workstation. */
  actor: z.string().max(200),
  session: z.discriminatedUnion('type', [
    z.object({ type: z.literal('rpc') }),
    z.object({
      type: z.literal('stream'),
      stream: z.discriminatedUnion('kind', [rsyncStreamSchema, composeStreamSchema]),
    }),
    upgradeSchema,
  ]),
});

export const serverHelloSchema = z.object({
  renet: z.literal(1),
  protocol: z.number().int(),
  version: z.string(),
  /** sha-256 of the agent's bundle, hex: the CLI compares it with the one it carries. */
  bundle: z.string(),
  /** sha-256 of a bundle that was installed, did not start, and gave way to the agent that answers. */
  rolledBack: z.string().optional(),
  /** Set when the session ends here, e.g. a stream that cannot be opened. */
  error: wireErrorSchema.optional(),
  /** True once setup has recorded a datastore in /etc/rediacc. */
  setUp: z.boolean(),
});

export type ClientHello = z.infer<typeof clientHelloSchema>;
export type ServerHello = z.infer<typeof serverHelloSchema>;
export type Upgrade = z.infer<typeof upgradeSchema>;
export type UpgradeReply = z.infer<typeof upgradeReplySchema>;
export type RsyncStream = z.infer<typeof rsyncStreamSchema>;
export type ComposeStream = z.infer<typeof composeStreamSchema>;
export type AgentStream = RsyncStream | ComposeStream;

/** Directory of a bundle under /usr/lib/rediacc/versions. */
export function bundleDirectory({ version, sha256 }: { version: string; sha256: string }): string {
  return `${version}-${sha256.slice(0, 8)}`;
}

/** The agent's line starts with this; whatever comes before it is login noise (motd, .bashrc) and is shown when the hello never comes. */
export const SERVER_HELLO_PREFIX = '{"renet":1,';
