// Which sockets make a container without a health check ready, by the lines of /proc/PID/net/tcp.
import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';

function verdict(network: string, ports: string, sockets: string): string {
  const script = `. systemd/renet-listening.sh
listening_sockets() { printf '%s\\n' $SOCKETS; }
service=web pid=1 verdict=later REDIACC_SERVICES='api=127.0.11.2 web=127.0.11.4'
judge_listening; printf %s "$verdict"`;
  const env = { PATH: '/usr/bin:/bin', network, ports, SOCKETS: sockets };
  const { stdout, stderr } = spawnSync('bash', ['--noprofile', '--norc', '-c', script], { env, encoding: 'utf8' });
  return stdout + stderr;
}

const LOOPBACK6 = '00000000000000000000000001000000';
const ANY6 = '00000000000000000000000000000000';

test.each([
  ['bridge', '', '', 'later'],
  ['bridge', '', '00000000:0050', 'ready'],
  ['bridge', '', '020011AC:0050', 'ready'],
  ['bridge', '', `${ANY6}:0050`, 'ready'],
  // docker's own resolver, and what only the container itself reaches.
  ['bridge', '', '0B00007F:9C41 0100007F:0050', 'later'],
  ['bridge', '', `${LOOPBACK6}:0050`, 'later'],
  ['bridge', '', '0000000000000000FFFF00000100007F:0050', 'later'],
  ['host', '', '040B007F:0050', 'ready'],
  ['host', '', '0000000000000000FFFF0000040B007F:0050', 'ready'],
  ['host', '', '020B007F:0050', 'later'],
  ['host', '80/tcp,', '00000000:0050', 'ready'],
  ['host', '80/tcp,', `${ANY6}:0050`, 'ready'],
  ['host', '81/tcp,80/udp,', '00000000:0050', 'later'],
  // Whose it is cannot be told, and nothing speaks against it.
  ['host', '', '00000000:0050', 'ready'],
])('%s, exposing "%s", with %s: %s', (network, ports, sockets, wanted) => {
  expect(verdict(network, ports, sockets)).toBe(wanted);
});
