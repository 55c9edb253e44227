// What a host keeps of its own IPv6 when forwarding is switched on for repositories: systemd/forwarding6.sh on a host whose
// default route came by a router advertisement, in a network namespace.
import { execFile, execFileSync } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const SCRIPT = new URL('../../systemd/forwarding6.sh', import.meta.url).pathname;

/** $1 the script. `advertise`: a router at the other end of "uplink" says so (RFC 4861, section 4.2). */
const HOST = `set -eu
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mount -t sysfs sysfs /sys
conf=/proc/sys/net/ipv6/conf
ip link set lo up
ip netns add router
ip link add uplink type veth peer name down0 netns router
ip link add fixed type veth peer name fixed0 netns router
echo 0 > $conf/fixed/accept_ra
ip netns exec router sysctl -qw net.ipv6.conf.down0.addr_gen_mode=1
ip -n router addr add fe80::1/64 dev down0 nodad
ip addr add fe80::2/64 dev uplink nodad
ip -n router link set down0 up
ip link set uplink up
advertise() {
  ip netns exec router perl -MSocket -e 'socket(my $s, AF_INET6, SOCK_RAW, 58) or die $!;
    setsockopt($s, 41, 18, pack("i", 255)) or die $!;
    send($s, pack("CCnCCnNN", 134, 0, 0, 64, 0, 1800, 0, 0), 0, Socket::pack_sockaddr_in6(0, Socket::inet_pton(AF_INET6, "ff02::1"), $ARGV[0])) or die $!' \\
    "$(ip netns exec router cat /sys/class/net/down0/ifindex)"
}
heard() {
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    advertise
    if ip -6 route show default dev uplink | grep -q 'via fe80::1'; then echo "$1 heard"; return; fi
    sleep 0.2
  done
  echo "$1 deaf"
}
tell() {
  route=lost
  if ip -6 route show default dev uplink | grep -q 'via fe80::1'; then route=kept; fi
  echo "$1 route=$route all=$(cat $conf/all/forwarding) default=$(cat $conf/default/forwarding) uplink=$(cat $conf/uplink/forwarding),$(cat $conf/uplink/accept_ra) fixed=$(cat $conf/fixed/forwarding),$(cat $conf/fixed/accept_ra)"
}
`;

function whyNot(): string | undefined {
  try {
    execFileSync('unshare', [
      '--net',
      '--mount',
      'sh',
      '-ec',
      'ip link add probe0 type veth peer name probe1 && perl -MSocket -e 1 && test -w /proc/sys/net/ipv6/conf/all/forwarding',
    ]);
    return undefined;
  } catch (error) {
    return `needs root, iproute2, perl and IPv6: ${String(error).split('\n')[0]}`;
  }
}
const obstacle = whyNot();

describe.skipIf(obstacle !== undefined)(`IPv6 forwarding${obstacle === undefined ? '' : ` (${obstacle})`}`, () => {
  const onHost = async (lines: string) =>
    (await promisify(execFile)('unshare', ['--net', '--mount', 'bash', '-c', HOST + lines, 'bash', SCRIPT])).stdout
      .trim()
      .split('\n');

  it('on: the host keeps its route and hears on; off: everything as before', async () => {
    const lines =
      'heard first; tell before; sh $1 on; tell on; ip -6 route del default dev uplink; heard again; sh $1 on; sh $1 off; tell off';
    expect(await onHost(lines)).toEqual([
      'first heard',
      'before route=kept all=0 default=0 uplink=0,1 fixed=0,0',
      'on route=kept all=1 default=0 uplink=0,1 fixed=0,0',
      'again heard',
      'off route=kept all=0 default=0 uplink=0,1 fixed=0,0',
    ]);
  });

  it('control: switched on plainly, the route is lost and no other is heard', async () => {
    expect(await onHost('heard first; echo 1 > $conf/all/forwarding; tell on; heard again')).toEqual([
      'first heard',
      'on route=lost all=1 default=1 uplink=1,1 fixed=1,0',
      'again deaf',
    ]);
  });

  it('on that was on already stays; off by us not where a bridge has come in between', async () => {
    const lines = `heard first; echo 1 > $conf/all/forwarding; ip -6 route add default via fe80::1 dev uplink
      sh $1 on; sh $1 off 'docker*'; cat $conf/all/forwarding
      echo 0 > $conf/all/forwarding; sh $1 on; ip link add docker7 type bridge; sh $1 off 'docker*'; cat $conf/all/forwarding`;
    expect(await onHost(lines)).toEqual(['first heard', '1', '1']);
  });

  it('not on where there is no way out', async () => {
    expect(await onHost('sh $1 on; cat $conf/all/forwarding; test ! -e /run/rediacc')).toEqual(['0']);
  });
});
