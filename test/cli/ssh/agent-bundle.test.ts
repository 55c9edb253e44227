import { expect, test } from 'vitest';
import { compareVersions, judgeAgent, loadAgentBundle } from '../../../src/cli/ssh/agent-bundle.ts';
import { PROTOCOL_VERSION } from '../../../src/protocol/hello.ts';

const mine = { version: '0.2.0', sha256: 'mine' };

test.each([
  ['the same bundle', { version: '0.2.0', bundle: 'mine', protocol: PROTOCOL_VERSION }, 'use'],
  ['an older one', { version: '0.1.9', bundle: 'other', protocol: PROTOCOL_VERSION }, 'replace'],
  ['an older one of another protocol', { version: '0.1.9', bundle: 'other', protocol: 0 }, 'replace'],
  ['another build of the same version', { version: '0.2.0', bundle: 'other', protocol: PROTOCOL_VERSION }, 'replace'],
  ['a newer one', { version: '0.3.0', bundle: 'other', protocol: PROTOCOL_VERSION }, 'use'],
  ['a newer one of another protocol', { version: '0.3.0', bundle: 'other', protocol: 9 }, 'mismatch'],
])('%s', (_name, server, verdict) => {
  expect(judgeAgent(server, mine)).toBe(verdict);
});

test('versions in their order', () => {
  const ordered = ['0.1.0-alpha', '0.1.0-rc.2', '0.1.0-rc.10', '0.1.0', '0.1.1', '0.2.0', '0.10.0', '1.0.0', '22.23.3'];
  expect([...ordered].reverse().sort(compareVersions)).toEqual(ordered);
  expect(compareVersions('v20.19.0', '20.19.0')).toBe(0);
});

test('a missing bundle says how to get it', async () => {
  await expect(loadAgentBundle('/nonexistent/renet.mjs', '0.1.0')).rejects.toMatchObject({ code: 'TOOL_MISSING' });
});
