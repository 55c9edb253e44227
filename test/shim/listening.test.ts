// Which sockets make a container without a health check ready, by the ports that answer and the lines of /proc/net/tcp.
import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';

function verdict(network: string, ports: string, sockets: string): string {
  const script = `. systemd/renet-listening.sh
listening_sockets() { printf '%s\\n' $SOCKETS; }
accepts() { [[ " $SOCKETS " == *" $1:$2 "* ]]; }
service=web addresses=172.18.0.2,172.19.0.2, verdict=later REDIACC_SERVICES='api=127.0.11.2 web=127.0.11.4'
judge_listening; printf %s "$verdict"`;
  const env = { PATH: '/usr/bin:/bin', network, ports, SOCKETS: sockets };
  const { stdout, stderr } = spawnSync('bash', ['--noprofile', '--norc', '-c', script], { env, encoding: 'utf8' });
  return stdout + stderr;
}

const ANY6 = '00000000000000000000000000000000';

test.each([
  ['bridge', '', '', 'later'],
  ['bridge', '80/tcp,', '172.18.0.2:80', 'ready'],
  ['bridge', '81/udp,80/tcp,', '172.19.0.2:80', 'ready'],
  ['bridge', '80,', '172.18.0.2:80', 'ready'],
  ['bridge', '81/tcp,', '172.18.0.2:80', 'later'],
  ['bridge', '81,80/udp,', '172.18.0.2:80', 'later'],
  ['bridge', '80/udp,', '172.18.0.2:80', 'later'],
  ['host', '', '040B007F:0050', 'ready'],
  ['host', '', '0000000000000000FFFF0000040B007F:0050', 'ready'],
  ['host', '', '020B007F:0050', 'later'],
  ['host', '80/tcp,', '00000000:0050', 'ready'],
  ['host', '80,', '00000000:0050', 'ready'],
  ['host', '80/tcp,', `${ANY6}:0050`, 'ready'],
  ['host', '81/tcp,80/udp,', '00000000:0050', 'later'],
  // Whose it is cannot be told, and nothing speaks against it.
  ['host', '', '00000000:0050', 'ready'],
])('%s, exposing "%s", with %s: %s', (network, ports, sockets, wanted) => {
  expect(verdict(network, ports, sockets)).toBe(wanted);
});
