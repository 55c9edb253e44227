import { expect, test } from 'vitest';
import type { ComposeRequest } from '../../src/cli/ssh/compose-session.ts';
import { RdcError } from '../../src/protocol/errors.ts';
import { workstation } from '../helpers/cli-world.ts';

const asked: ComposeRequest[] = [];
const compose = (answer: number | RdcError) => ({
  replace: {
    compose: async (_machine: unknown, request: ComposeRequest) => {
      asked.push(request);
      if (typeof answer === 'number') return answer;
      throw answer;
    },
  },
});

test('words behind "--" go to compose as they are, flags of ours among them', async () => {
  const words = ['-f', 'a b.yml', 'exec', '-T', 'web', 'sh', '-c', '', '--json', '-m', '--', '--wait'];
  await workstation('prod').done(['repo', 'compose', 'shop', '--dir', 'my app', '--', ...words], compose(0));
  expect(asked.at(-1)).toEqual({ repo: 'shop', directory: 'my app', words });
});

test.each([1, 14, 125, 255])('exit code %i is passed on without a word', async (code) => {
  expect(await workstation('prod').rdc('repo compose shop -- ps', compose(code))).toMatchObject({
    exitCode: code,
    stderr: '',
  });
});

test('failures of our own are 125, told as always; Ctrl-C is 130', async () => {
  const lost = await workstation('prod').rdc('repo compose shop -- ps', compose(new RdcError('UNREACHABLE', 'no way')));
  expect([lost.exitCode, lost.stderr]).toEqual([125, 'rdc: no way\n']);
  const unknown = await workstation('prod').rdc('repo compose shop -m nowhere -- ps', compose(0));
  expect(unknown.exitCode).toBe(125);
  const stopped = await workstation('prod').rdc(
    'repo compose shop -- up',
    compose(new RdcError('INTERRUPTED', 'ended')),
  );
  expect(stopped.exitCode).toBe(130);
});
