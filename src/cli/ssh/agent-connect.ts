// How every command reaches the agent: one session, hello, go. An older agent is replaced through the same door;
// only setup (agent-install.ts) may put one where there is none.
import { setTimeout as sleep } from 'node:timers/promises';
import { fromWireError, RdcError, type WireError } from '../../protocol/errors.ts';
import {
  type ClientHello,
  PROTOCOL_VERSION,
  type ServerHello,
  type UpgradeReply,
  upgradeReplySchema,
} from '../../protocol/hello.ts';
import type { AgentClient } from '../agent-client.ts';
import { AGENT_PLACE, type AgentAccess, helloOptions, openElevated } from './access.ts';
import { type AgentBundle, judgeAgent } from './agent-bundle.ts';
import { agentLink } from './agent-link.ts';
import { withDeadline } from './deadline.ts';
import { connectionLost } from './failure.ts';
import { clientHello, exchangeHello } from './hello.ts';
import { LineReader } from './line-reader.ts';
import type { SshSession } from './transport.ts';
import { untilTaken } from './turned-away.ts';

/** The self-test and the units, on a slow machine. */
const UPGRADE_MS = 180_000;
/** How long the old daemon may still answer after it was told to go. */
const CHANGE_OVER_TRIES = 20;

/** Throws NOT_SET_UP where there is no agent, SUDO, AGENT_MISMATCH, or what the login throws. */
export async function connectAgent(access: AgentAccess): Promise<AgentClient> {
  const bundle = await access.bundle();
  const { session, hello } = await openSession(access, { type: 'rpc' });
  if (hello.bundle === '') {
    session.close();
    throw daemonSilent(access, hello);
  }
  const verdict = judgeAgent(hello, bundle);
  if (verdict === 'use') return link(access, session, hello);
  if (verdict === 'broken') return putBack(access, bundle, session, hello);
  session.close();
  if (verdict === 'mismatch') throw newerAgent(access, hello);
  return await replaceAndConnect(access, bundle, hello);
}

export function link(access: AgentAccess, session: SshSession, hello: ServerHello): AgentClient {
  if (hello.error !== undefined) {
    session.close();
    throw fromWireError(hello.error as WireError);
  }
  return agentLink(session, access.target, hello);
}

interface OpenSession {
  session: SshSession;
  hello: ServerHello;
}

export async function openSession(access: AgentAccess, kind: ClientHello['session']): Promise<OpenSession> {
  const { launcher } = access.place ?? AGENT_PLACE;
  const attempt = async () => {
    // Ctrl-C ends the way there. What is said later over the connection, it must not cut off: cancelling goes over it as well.
    const opening =
      kind.type === 'rpc' ? untilThere(access.signal) : { signal: access.signal, isThere: () => undefined };
    const session = openElevated({ ...access, signal: opening.signal }, [launcher, 'connect']);
    const hello = await exchangeHello(session, clientHello(access, kind), helloOptions(access, 'connect'));
    opening.isThere();
    return { session, hello };
  };
  const report = (message: string) => access.report({ kind: 'step', message });
  return await untilTaken(attempt, { signal: access.signal, report });
}

/** Follows `signal` until it is told that we are there. */
function untilThere(signal: AbortSignal | undefined): { signal: AbortSignal; isThere(): void } {
  const controller = new AbortController();
  const onAbort = () => controller.abort();
  if (signal?.aborted) onAbort();
  signal?.addEventListener('abort', onAbort, { once: true });
  return { signal: controller.signal, isThere: () => signal?.removeEventListener('abort', onAbort) };
}

async function replaceAndConnect(access: AgentAccess, bundle: AgentBundle, old: ServerHello): Promise<AgentClient> {
  const { machine } = access.target;
  const change =
    old.version === bundle.version ? `${old.version}, another build` : `${old.version} -> ${bundle.version}`;
  access.report({ kind: 'step', message: `replacing the agent on "${machine}" (${change})` });
  const reply = await sendUpgrade(access, bundle);
  if (!reply.upgraded) return await notReplaced(access, old, fromWireError(reply.error as WireError));
  const tries = reply.restarted ? CHANGE_OVER_TRIES : 1;
  for (let left = tries; ; left--) {
    const { session, hello } = await openSession(access, { type: 'rpc' });
    if (hello.bundle === bundle.sha256) return link(access, session, hello);
    if (hello.rolledBack === bundle.sha256) return putBack(access, bundle, session, hello);
    if (left <= 1) return stillOld(access, session, hello, reply.restarted);
    session.close();
    await sleep(500);
  }
}

/** As on a full disk, where the commands that make room must work: the one that is there serves us where it can. */
async function notReplaced(access: AgentAccess, old: ServerHello, why: RdcError): Promise<AgentClient> {
  if (old.protocol !== PROTOCOL_VERSION) throw why;
  const message = `the agent on "${access.target.machine}" cannot be replaced: ${why.message}; the one there, ${old.version}, serves`;
  access.report({ kind: 'step', message });
  const { session, hello } = await openSession(access, { type: 'rpc' });
  return link(access, session, hello);
}

/** Mine did not start on the machine, which went back to the one before: that serves us where it can. */
export function putBack(
  access: AgentAccess,
  { version }: AgentBundle,
  session: SshSession,
  hello: ServerHello,
): AgentClient {
  const { machine } = access.target;
  const message = `the agent ${version} does not start on "${machine}"; the one before it, ${hello.version}, was put back`;
  const hint = 'journalctl -u rediacc-agent on the machine tells why; rdc context setup-machine tries again';
  if (hello.protocol === PROTOCOL_VERSION) {
    access.report({ kind: 'step', message: `${message} and serves: ${hint}` });
    return link(access, session, hello);
  }
  session.close();
  throw new RdcError('AGENT_MISMATCH', message, { hint });
}

/** Runs are going on under the old daemon: it serves us where it can. */
export function stillOld(
  access: AgentAccess,
  session: SshSession,
  hello: ServerHello,
  restarted: boolean,
): AgentClient {
  const { machine } = access.target;
  if (!restarted && hello.protocol === PROTOCOL_VERSION) {
    access.report({ kind: 'step', message: `the new agent on "${machine}" takes over when its runs have ended` });
    return link(access, session, hello);
  }
  session.close();
  const why = restarted ? 'the new agent did not start' : 'its runs go on under the old agent';
  throw new RdcError('AGENT_MISMATCH', `the agent on machine "${machine}" was replaced, but ${why}`, {
    hint: restarted ? `rdc context setup-machine ${machine}` : 'try again when the runs have ended',
  });
}

async function sendUpgrade(access: AgentAccess, { version, sha256, content }: AgentBundle): Promise<UpgradeReply> {
  const { session, hello } = await openSession(access, { type: 'upgrade', version, sha256, bytes: content.length });
  const reader = new LineReader(session.stdout);
  try {
    if (hello.error !== undefined) throw fromWireError(hello.error as WireError);
    session.stdin.write(content);
    const lost = () => connectionLost(access.target, session.stderrText());
    const line = await withDeadline(reader.next(), UPGRADE_MS, lost);
    if (line === undefined) throw lost();
    return upgradeReplySchema.parse(JSON.parse(line));
  } finally {
    session.close();
  }
}

/** `renet connect` found nobody behind the socket: it says hello without a bundle, and cannot know the machine's name. */
function daemonSilent({ target }: AgentAccess, { error }: ServerHello): RdcError {
  if (error !== undefined && error.code !== 'NOT_SET_UP') return fromWireError(error as WireError);
  return new RdcError('NOT_SET_UP', `the agent on machine "${target.machine}" does not run`, {
    hint: `rdc context setup-machine ${target.machine}`,
    cause: error?.message,
  });
}

export function newerAgent({ target, version }: AgentAccess, hello: ServerHello): RdcError {
  const message = `the agent on machine "${target.machine}" (${hello.version}) is newer than this rdc (${version})`;
  return new RdcError('AGENT_MISMATCH', message, { hint: `update rdc to ${hello.version} or later` });
}
