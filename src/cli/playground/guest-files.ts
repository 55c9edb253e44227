// What an administrator would set up on a fresh Debian machine, as files. Nothing here belongs to rdc or knows about it.

export interface GuestFile {
  /** Absolute path in the guest. */
  path: string;
  content: string;
  /** Default 0644. */
  mode?: number;
}

/** The guest's own address in QEMU's user network, and what answers on it. */
export const GUEST_NETWORK = {
  address: '10.0.2.15',
  gateway: '10.0.2.2',
  dns: '10.0.2.3',
  registryPort: 5000,
} as const;

/** How a dockerd inside the guest reaches the registry mirror that the guest serves. */
export const REGISTRY_MIRROR = `http://${GUEST_NETWORK.address}:${GUEST_NETWORK.registryPort}`;

export const BASE_FILES: readonly GuestFile[] = [
  { path: '/etc/fstab', content: '/dev/vda / ext4 defaults,errors=remount-ro 0 1\n' },
  { path: '/etc/resolv.conf', content: `nameserver ${GUEST_NETWORK.dns}\n` },
  // An empty file, not a missing one: a first boot in systemd's sense would re-apply every unit preset.
  { path: '/etc/machine-id', content: '', mode: 0o444 },
  {
    path: '/etc/systemd/network/10-uplink.network',
    content: [
      '[Match]',
      'Driver=virtio_net',
      '',
      '[Network]',
      `Address=${GUEST_NETWORK.address}/24`,
      `Gateway=${GUEST_NETWORK.gateway}`,
      'LinkLocalAddressing=no',
      'IPv6AcceptRA=no',
      '',
    ].join('\n'),
  },
  { path: '/etc/sudoers.d/deploy', content: 'deploy ALL=(ALL) NOPASSWD: ALL\n', mode: 0o440 },
  { path: '/etc/sudoers.d/nosudo', content: 'nosudo ALL=(ALL) ALL\n', mode: 0o440 },
  { path: '/etc/ssh/sshd_config.d/keys.conf', content: 'PasswordAuthentication no\nUseDNS no\n' },
  {
    path: '/etc/docker/registry/config.yml',
    content: [
      'version: 0.1',
      'log: {level: warn}',
      'storage:',
      '  cache: {blobdescriptor: inmemory}',
      '  filesystem: {rootdirectory: /var/lib/docker-registry}',
      `http: {addr: ':${GUEST_NETWORK.registryPort}'}`,
      '',
    ].join('\n'),
  },
];

/** A container that the machine's owner runs with the host's own docker; it must survive everything we do. */
const SITE_UNIT = `[Unit]
Description=The container that this server already ran
Requires=docker.service
After=docker.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/start-site

[Install]
WantedBy=multi-user.target
`;

const SITE_SCRIPT = `#!/bin/sh
set -eu
docker container inspect site >/dev/null 2>&1 && exit 0
tar -C /usr -c bin/busybox | docker import - site:1 >/dev/null
docker run --detach --name site --restart always --publish 8088:80 site:1 \\
  /bin/busybox httpd -f -p 80 -h /bin >/dev/null
`;

export const SERVER_FILES: readonly GuestFile[] = [
  { path: '/etc/systemd/system/site.service', content: SITE_UNIT },
  { path: '/usr/local/sbin/start-site', content: SITE_SCRIPT, mode: 0o755 },
];
