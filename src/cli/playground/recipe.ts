// Everything that decides what the base image contains. Its text is hashed, so that any change builds a new image.
import { createHash } from 'node:crypto';
import { BASE_FILES, SERVER_FILES } from './guest-files.ts';

/** playground: as few services as possible, so it starts fast. server: an ordinary server that runs docker of its own. */
export type Flavour = 'playground' | 'server';

export const SUITE = 'trixie';

/** Raised when the build changes in a way that the lists below do not show. */
const BUILD_REVISION = 2;

/** Virtual size of the root filesystem; the file is sparse. */
export const ROOT_SIZE_GIB = 16;

export const PACKAGES: readonly string[] = [
  ...['linux-image-cloud-amd64', 'systemd', 'systemd-sysv', 'libpam-systemd', 'udev', 'dbus', 'kmod'],
  ...['openssh-server', 'sudo', 'ca-certificates', 'netbase', 'iproute2', 'iptables', 'nftables'],
  ...['cryptsetup-bin', 'btrfs-progs', 'e2fsprogs', 'xfsprogs', 'util-linux', 'rsync'],
  ...['docker.io', 'docker-cli', 'docker-compose', 'docker-buildx', 'docker-registry'],
  ...['procps', 'jq', 'curl', 'less', 'busybox-static', 'netcat-openbsd'],
];

/** Documentation that no test and no playground reads; it halves the time that packing takes. */
export const EXCLUDED_PATHS: readonly string[] = ['/usr/share/man/*', '/usr/share/doc/*', '/usr/share/locale/*'];

/** Commands run inside the new system, in order, without a shell. */
export const SETUP_COMMANDS: readonly (readonly [string, ...string[]])[] = [
  ['useradd', '--create-home', '--shell', '/bin/bash', 'deploy'],
  ['useradd', '--create-home', '--shell', '/bin/bash', 'nosudo'],
  ['systemctl', 'enable', 'systemd-networkd.service', 'ssh.service', 'docker-registry.service'],
  [
    'systemctl',
    'disable',
    'systemd-networkd-wait-online.service',
    'docker.service',
    'docker.socket',
    'containerd.service',
  ],
  ['systemctl', 'disable', 'apt-daily.timer', 'apt-daily-upgrade.timer', 'e2scrub_all.timer', 'e2scrub_reap.service'],
  ['systemctl', 'disable', 'fstrim.timer', 'dpkg-db-backup.timer', 'xfs_scrub_all.timer', 'getty@tty1.service'],
  ['systemctl', 'mask', 'serial-getty@ttyS0.service'],
];

export const SERVER_COMMANDS: readonly (readonly [string, ...string[]])[] = [
  ['systemctl', 'enable', 'docker.service', 'docker.socket', 'containerd.service', 'site.service'],
];

/** Hash of the recipe: the name of the image's directory in the cache. `images` describes the registry's content. */
export function recipeHash(images: string): string {
  const recipe = {
    revision: BUILD_REVISION,
    suite: SUITE,
    rootSize: ROOT_SIZE_GIB,
    packages: PACKAGES,
    excluded: EXCLUDED_PATHS,
    files: [BASE_FILES, SERVER_FILES],
    commands: [SETUP_COMMANDS, SERVER_COMMANDS],
    images,
  };
  return createHash('sha256').update(JSON.stringify(recipe)).digest('hex');
}
