// The conversation with an agent that speaks the real contract, over both clients and a real sshd.
import { execFileSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AgentClient } from '../../../src/cli/agent-client.ts';
import type { AgentAccess } from '../../../src/cli/ssh/access.ts';
import type { AgentBundle } from '../../../src/cli/ssh/agent-bundle.ts';
import { connectAgent } from '../../../src/cli/ssh/agent-connect.ts';
import { agentLink } from '../../../src/cli/ssh/agent-link.ts';
import { builtinTransport } from '../../../src/cli/ssh/builtin.ts';
import { exchangeHello } from '../../../src/cli/ssh/hello.ts';
import { watchLink } from '../../../src/cli/ssh/link-watch.ts';
import { openSshTransport } from '../../../src/cli/ssh/openssh.ts';
import type { SshSession } from '../../../src/cli/ssh/transport.ts';
import type { JournalEvent } from '../../../src/protocol/events.ts';
import type { ServerHello } from '../../../src/protocol/hello.ts';
import { repoNameSchema } from '../../../src/protocol/ids.ts';
import { Secret } from '../../../src/protocol/secret.ts';
import { fakeAgent } from './fake-agent-bundle.ts';
import { startSshd, type TestSshd } from './sshd.ts';

let sshd: TestSshd;
let bundle: AgentBundle;
const repo = repoNameSchema.parse('shop');
const RUN = '0123456789ab-01234567';

beforeAll(async () => {
  sshd = await startSshd('MaxSessions 1');
  bundle = await fakeAgent('0.1.0');
  writeFileSync(join(sshd.bin, 'agent.mjs'), bundle.content);
  writeFileSync(
    join(sshd.bin, 'renet'),
    `#!/bin/sh\necho 'Welcome to prod'\nexec ${process.execPath} "${sshd.bin}/agent.mjs" "$@"\n`,
  );
  chmodSync(join(sshd.bin, 'renet'), 0o755);
});
afterAll(() => sshd.stop());

describe.each([
  ['openssh', openSshTransport('/usr/bin/ssh')],
  ['builtin', builtinTransport({ env: {} })],
] as const)('%s', (_name, transport) => {
  async function connected(work: (client: AgentClient) => Promise<void>): Promise<void> {
    const access: AgentAccess = {
      transport,
      target: sshd.target(),
      version: '0.1.0',
      actor: 'anna@desk',
      bundle: async () => bundle,
      nodeRuntime: () => Promise.reject(new Error('not needed')),
      report: () => undefined,
      place: { launcher: 'renet', libDir: '/nonexistent' },
    };
    const client = await connectAgent(access);
    try {
      await work(client);
    } finally {
      await client.close();
    }
  }

  test('a question is answered; the secret arrives, and only there', () =>
    connected(async (client) => {
      const credential = new Secret('the marked credential');
      expect(await client.call('repo.verify-credential', { repo, credential })).toMatchObject({ opens: true });
      expect(await client.call('run.list', {})).toEqual({ runs: [] });
    }));

  test('the agent’s error comes back as it was', () =>
    connected(async (client) => {
      await expect(client.call('repo.status', { repo })).rejects.toMatchObject({
        code: 'NOT_FOUND',
        message: 'no repository "shop"',
        hint: 'rdc repo list',
      });
    }));

  test('an answer of the wrong shape is not passed on', () =>
    connected(async (client) => {
      await expect(client.call('repo.list', {})).rejects.toMatchObject({ code: 'INTERNAL' });
    }));

  test('a run: its id, its events in order, its result', () =>
    connected(async (client) => {
      const seen: (string | number)[] = [];
      const result = await client.run(
        'repo.delete',
        { repo },
        {},
        {
          onStarted: (run) => seen.push(run),
          onEvent: (event: JournalEvent) => seen.push(event.seq),
        },
      );
      expect(seen).toEqual([RUN, 1, 2]);
      expect(result).toMatchObject({ outcome: 'done', warnings: ['careful'], output: { changed: true } });
    }));

  test('a run that failed is a result, one that never began an error', () =>
    connected(async (client) => {
      const result = await client.run('repo.unmount', { repo }, {}, {});
      expect(result).toMatchObject({ outcome: 'failed', error: { code: 'VOLUME_IN_USE' } });
      await expect(client.run('repo.mount', { repo }, {}, {})).rejects.toMatchObject({ code: 'BUSY' });
    }));

  test('following goes on after the given event', () =>
    connected(async (client) => {
      const seen: number[] = [];
      const run = RUN as never;
      await client.follow(run, 7, { onEvent: (event) => seen.push(event.seq) });
      expect(seen).toEqual([8]);
    }));

  test('a link that breaks during a run names the run and how to go on', () =>
    connected(async (client) => {
      await expect(client.run('repo.down', { repo }, {}, {})).rejects.toMatchObject({
        code: 'CONNECTION_LOST',
        message: 'lost the connection to machine "prod-1"; the run goes on there',
        hint: `rdc run attach ${RUN} -m prod-1`,
      });
      await expect(client.call('run.list', {})).rejects.toMatchObject({ code: 'CONNECTION_LOST' });
    }));

  test('a link that breaks during a question', () =>
    connected(async (client) => {
      await expect(client.call('machine.status', {})).rejects.toMatchObject({ code: 'CONNECTION_LOST' });
    }));
});

/** A session whose far side is in this process. */
function fakeSession(): { session: SshSession; far: { input: PassThrough; output: PassThrough }; end(): void } {
  const far = { input: new PassThrough(), output: new PassThrough() };
  let end = (): void => undefined;
  const ended = new Promise<{ exitCode: number }>((resolve) => {
    end = () => resolve({ exitCode: 0 });
  });
  const close = () => {
    far.output.end();
    end();
  };
  return { session: { stdin: far.input, stdout: far.output, stderrText: () => 'oops', ended, close }, far, end };
}

const hello: ServerHello = { renet: 1, protocol: 1, version: '0.1.0', bundle: 'b', setUp: true };

test('40 s of silence are a lost link, counted in ticks', async () => {
  const { session } = fakeSession();
  const watch = watchLink(session, sshd.target(), 5);
  await expect(watch.lost).rejects.toMatchObject({ code: 'CONNECTION_LOST' });
});

test('any byte from the agent keeps the link', async () => {
  const { session, far } = fakeSession();
  const watch = watchLink(session, sshd.target(), 5);
  let lost = false;
  watch.lost.catch(() => {
    lost = true;
  });
  for (let round = 0; round < 10; round++) {
    far.output.write('.');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  expect(lost).toBe(false);
  watch.stop();
});

test('an agent that never says hello is given up, with what it said instead', async () => {
  const { session, far } = fakeSession();
  far.output.write('Welcome\n{"renet":"almost"}\n');
  const options = { target: sshd.target(), right: 'connect', launcher: 'renet', timeoutMs: 100 } as const;
  await expect(exchangeHello(session, 'hi\n', options)).rejects.toMatchObject({
    code: 'UNREACHABLE',
    cause: expect.stringContaining('Welcome'),
  });
});

test('closing settles even when the far side never ends', async () => {
  const { session } = fakeSession();
  const started = Date.now();
  await agentLink(session, sshd.target(), hello).close();
  expect(Date.now() - started).toBeLessThan(3000);
});

test('a program that has closed its link can exit at once', async () => {
  const { bundle: bundleScript } = await import('./fake-agent-bundle.ts');
  const script = join(sshd.directory, 'exit.mjs');
  writeFileSync(script, await bundleScript('./exit-main.ts'));
  for (const client of ['openssh', 'builtin']) {
    const output = execFileSync(process.execPath, [script, client, JSON.stringify(sshd.target())], { timeout: 20_000 });
    expect(Number(output.toString())).toBeLessThan(1500);
  }
});
