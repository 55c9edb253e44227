// How the agent gets onto a server that has none: one session of bootstrap.sh, which ends by becoming the session
// with the agent. Only setup-machine calls this.
import { gzipSync } from 'node:zlib';
import { RdcError } from '../../protocol/errors.ts';
import { bundleDirectory, PROTOCOL_VERSION } from '../../protocol/hello.ts';
import type { AgentClient } from '../agent-client.ts';
import { type AgentAccess, helloOptions } from './access.ts';
import { type AgentBundle, compareVersions, judgeAgent } from './agent-bundle.ts';
import { connectAgent, link, newerAgent, openSession, putBack, stillOld } from './agent-connect.ts';
import { BootstrapSession, type ServerFacts } from './bootstrap-session.ts';
import { clientHello, exchangeHello } from './hello.ts';
import type { SshSession } from './transport.ts';

/** The oldest Node that runs the agent (package.json engines). */
const OLDEST_NODE = '20.19.0';

/** Installs the agent or what is missing of it, and connects. A user with the narrow sudo right only can still connect and upgrade. */
export async function installAgent(access: AgentAccess): Promise<AgentClient> {
  try {
    const { bootstrap, facts } = await BootstrapSession.open(access);
    await guarded(bootstrap, () => installMissing(access, bootstrap, facts));
    return await join(access, await bootstrap.handOver('connect'));
  } catch (error) {
    if (!(error instanceof RdcError) || error.code !== 'SUDO') throw error;
    return await connectAgent(access).catch((inner: unknown) => {
      throw inner instanceof RdcError && ['SUDO', 'NOT_SET_UP'].includes(inner.code) ? error : inner;
    });
  }
}

/** The agent from a directory that is removed when the session ends, for a dry run: nothing on the machine changes. A user with the narrow sudo right only gets the installed agent, whatever its version. */
export async function openTemporaryAgent(access: AgentAccess): Promise<AgentClient> {
  try {
    const { bootstrap, facts } = await BootstrapSession.open(access);
    const node = usableNode(facts);
    await guarded(bootstrap, async () => {
      await bootstrap.run('begin', 'temporary');
      if (node === undefined) await putNode(access, bootstrap, facts);
      await putBundle(access, bootstrap, await access.bundle());
    });
    return await join(access, await bootstrap.handOver('stdio', node ?? '-'));
  } catch (error) {
    if (!(error instanceof RdcError) || error.code !== 'SUDO') throw error;
    const { session, hello } = await openSession(access, { type: 'rpc' }).catch(() => Promise.reject(error));
    if (hello.protocol === PROTOCOL_VERSION) return link(access, session, hello);
    session.close();
    throw error;
  }
}

async function guarded(bootstrap: BootstrapSession, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    bootstrap.close();
    throw error;
  }
}

async function installMissing(access: AgentAccess, bootstrap: BootstrapSession, facts: ServerFacts): Promise<void> {
  const bundle = await access.bundle();
  const node = usableNode(facts);
  const bundleThere = facts.bundle === bundle.sha256 || isNewer(facts, bundle);
  if (bundleThere && node !== undefined && facts.launcher) return;
  access.report({ kind: 'step', message: `installing the agent ${bundle.version} on "${access.target.machine}"` });
  await bootstrap.run('begin', 'install');
  const shipped = node === undefined ? await putNode(access, bootstrap, facts) : '-';
  if (!bundleThere) await putBundle(access, bootstrap, bundle);
  const directory = bundleThere ? facts.current?.replace('versions/', '') : bundleDirectory(bundle);
  await bootstrap.run('activate', directory ?? bundleDirectory(bundle), shipped, node ?? '-');
}

/** A newer agent is left alone; whether this rdc can talk to it, its hello tells. */
function isNewer({ current }: ServerFacts, bundle: AgentBundle): boolean {
  const version = /^versions\/(.+)-[0-9a-f]{8}$/.exec(current ?? '')?.[1];
  return version !== undefined && compareVersions(version, bundle.version) > 0;
}

function usableNode({ nodes }: ServerFacts): string | undefined {
  return nodes.find(({ version }) => compareVersions(version, OLDEST_NODE) >= 0)?.path;
}

/** Returns the version that was put there. */
async function putNode(access: AgentAccess, bootstrap: BootstrapSession, { arch }: ServerFacts): Promise<string> {
  const runtime = await access.nodeRuntime(arch);
  const title = `Node ${runtime.version} for "${access.target.machine}"`;
  await bootstrap.put({ name: 'node', title, gzip: runtime.gzip, sha256: runtime.sha256, mode: '755' });
  return runtime.version;
}

async function putBundle(access: AgentAccess, bootstrap: BootstrapSession, bundle: AgentBundle): Promise<void> {
  const title = `agent ${bundle.version} for "${access.target.machine}"`;
  const gzip = gzipSync(bundle.content);
  await bootstrap.put({ name: 'renet.mjs', title, gzip, sha256: bundle.sha256, mode: '644' });
}

async function join(access: AgentAccess, session: SshSession): Promise<AgentClient> {
  const hello = await exchangeHello(session, clientHello(access, { type: 'rpc' }), helloOptions(access, 'setup'));
  const bundle = await access.bundle();
  const verdict = judgeAgent(hello, bundle);
  if (verdict === 'broken') return putBack(access, bundle, session, hello);
  if (verdict === 'mismatch') {
    session.close();
    throw newerAgent(access, hello);
  }
  if (verdict === 'replace') return stillOld(access, session, hello, false);
  return link(access, session, hello);
}
