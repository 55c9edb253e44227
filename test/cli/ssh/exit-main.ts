// Connects, asks, closes, and prints at its very end how many milliseconds it took to come to rest after the close.
import { agentLink } from '../../../src/cli/ssh/agent-link.ts';
import { builtinTransport } from '../../../src/cli/ssh/builtin.ts';
import { clientHello, exchangeHello } from '../../../src/cli/ssh/hello.ts';
import { openSshTransport } from '../../../src/cli/ssh/openssh.ts';
import type { SshTarget } from '../../../src/cli/ssh/transport.ts';

const [client = '', json = ''] = process.argv.slice(2);
const target = JSON.parse(json) as SshTarget;
const transport = client === 'openssh' ? openSshTransport('/usr/bin/ssh') : builtinTransport({ env: {} });
const session = transport.open(target, ['renet', 'connect']);
const options = { target, right: 'connect', launcher: 'renet', timeoutMs: 15_000 } as const;
const line = clientHello({ version: '0.1.0', actor: 'anna@desk' }, { type: 'rpc' });
const link = agentLink(session, target, await exchangeHello(session, line, options));
await link.call('run.list', {});
const start = Date.now();
await link.close();
process.on('exit', () => process.stdout.write(String(Date.now() - start)));
