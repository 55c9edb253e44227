// An agent that announces a message without end gets no memory for it.
import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { agentLink } from '../../../src/cli/ssh/agent-link.ts';
import type { SshSession, SshTarget } from '../../../src/cli/ssh/transport.ts';

const TARGET: SshTarget = { machine: 'm', host: '203.0.113.1', port: 22, user: 'deploy', hostKeys: [] };
const HELLO = { renet: 1 as const, protocol: 1, version: '0.1.0', bundle: '', setUp: true };

function session() {
  const stdout = new PassThrough();
  let closed = false;
  let end: (value: { exitCode: number }) => void = () => undefined;
  const ended = new Promise<{ exitCode: number }>((resolve) => {
    end = resolve;
  });
  const close = () => {
    closed = true;
    stdout.destroy();
    end({ exitCode: 255 });
  };
  const open: SshSession = { stdin: new PassThrough().resume(), stdout, stderrText: () => '', ended, close };
  return { open, stdout, isClosed: () => closed };
}

test.each([['Content-Length: 99999999999\r\n\r\n'], ['']])('after %j', async (header) => {
  const { open, stdout, isClosed } = session();
  const client = agentLink(open, TARGET, HELLO);
  const answer = client.call('repo.list', {}).catch((error: unknown) => error);
  stdout.write(header);
  for (let sent = 0; sent < 20 && !isClosed(); sent++) {
    stdout.write(Buffer.alloc(1024 ** 2, 'x'));
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(isClosed()).toBe(true);
  expect(await answer).toMatchObject({ code: 'CONNECTION_LOST' });
});

test('many messages are no large one', async () => {
  const { open, stdout, isClosed } = session();
  agentLink(open, TARGET, HELLO);
  const body = JSON.stringify({
    jsonrpc: '2.0',
    method: 'heartbeat',
    params: { at: 0, padding: 'x'.repeat(1024 ** 2) },
  });
  for (let sent = 0; sent < 20; sent++) {
    stdout.write(`Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  expect(isClosed()).toBe(false);
  open.close();
});
