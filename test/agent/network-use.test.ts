// Blocks of addresses that something foreign uses, from tables of the kernel.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { expect, test } from 'vitest';
import { foreignBlocks } from '../../src/agent/network-use.ts';

const HEAD = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt\n';

test.each([
  ['127.0.0.1 is nobody’s block', '   0: 0100007F:1F90 00000000:0000 0A', []],
  ['127.0.11.2 is in that of 2816', '   0: 020B007F:1538 00000000:0000 0A', [2816]],
  ['127.0.11.70 is in that of 2880', '   0: 460B007F:1E61 00000000:0000 0A', [2880]],
  ['0.0.0.0 is in none', '   0: 00000000:0016 00000000:0000 0A', []],
  ['10.0.11.70 is in none', '   0: 460B000A:1E61 00000000:0000 0A', []],
  [
    '::ffff:127.0.11.70',
    '   0: 0000000000000000FFFF0000460B007F:1E61 00000000000000000000000000000000:0000 0A',
    [2880],
  ],
  ['::1', '   0: 00000000000000000000000001000000:0CEA 00000000000000000000000000000000:0000 0A', []],
])('%s', (_what, line, blocks) => expect(foreignBlocks(`${HEAD}${line}\n`)).toEqual(blocks));

test.each([
  ['an IPv4 socket', '127.0.11.70', 'tcp'],
  ['an IPv6 socket with an IPv4 address', '::ffff:127.0.11.134', 'tcp6'],
])('as this kernel writes it: %s', async (_what, host, table) => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const block = host.endsWith('.70') ? 2880 : 2944;
  expect(foreignBlocks(readFileSync(`/proc/net/${table}`, 'utf8'))).toContain(block);
  await new Promise((resolve) => server.close(resolve));
  // Control: it is there because of the listener.
  expect(foreignBlocks(readFileSync(`/proc/net/${table}`, 'utf8'))).not.toContain(block);
});
