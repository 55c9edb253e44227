// What a machine must have before it can hold repositories: programs with the packages that bring them, kernel
// modules, versions. Data only; preflight.ts judges, packages.ts installs.

export type PackageManager = 'apt' | 'dnf' | 'zypper';

export interface Need {
  /** Stable id of the check and key of the package tables. */
  id: string;
  title: string;
  /** All of them, in one of the directories of PROGRAM_PATH. */
  programs: readonly string[];
  /** One of these files, where the need is no program. */
  anyFile?: readonly string[];
  /** Names by preference: the first that the distribution offers is installed. */
  packages: Readonly<Record<PackageManager, readonly string[]>>;
}

/** systemd's own search path for programs (systemd.service(5)): a program elsewhere would not be found by units. */
export const PROGRAM_PATH = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'] as const;

const everywhere = (name: string) => ({ apt: [name], dnf: [name], zypper: [name] });

export const NEEDS: readonly Need[] = [
  {
    id: 'cryptsetup',
    title: 'cryptsetup',
    programs: ['cryptsetup'],
    packages: { apt: ['cryptsetup-bin'], dnf: ['cryptsetup'], zypper: ['cryptsetup'] },
  },
  {
    id: 'dmsetup',
    title: 'dmsetup',
    programs: ['dmsetup'],
    packages: { apt: ['dmsetup'], dnf: ['device-mapper'], zypper: ['device-mapper'] },
  },
  {
    id: 'docker',
    title: 'docker daemon',
    programs: ['dockerd', 'containerd', 'runc'],
    packages: { apt: ['docker.io'], dnf: ['moby-engine', 'docker-ce'], zypper: ['docker'] },
  },
  {
    id: 'docker-cli',
    title: 'docker command',
    programs: ['docker'],
    // Where there is no package of its own, the daemon's brings it.
    packages: { apt: ['docker-cli', 'docker.io'], dnf: ['docker-cli', 'docker-ce-cli'], zypper: ['docker'] },
  },
  {
    id: 'ca-certificates',
    title: 'certificate authorities',
    programs: [],
    anyFile: ['/etc/ssl/certs/ca-certificates.crt', '/etc/pki/tls/certs/ca-bundle.crt', '/etc/ssl/ca-bundle.pem'],
    packages: everywhere('ca-certificates'),
  },
  {
    id: 'mount',
    title: 'mount tools',
    programs: ['mount', 'umount', 'losetup'],
    packages: { apt: ['mount'], dnf: ['util-linux'], zypper: ['util-linux'] },
  },
  {
    id: 'util-linux',
    title: 'util-linux',
    programs: ['flock', 'findmnt', 'mountpoint', 'fallocate', 'nsenter', 'unshare', 'setpriv'],
    packages: everywhere('util-linux'),
  },
  {
    id: 'e2fsprogs',
    title: 'ext4 tools',
    programs: ['mkfs.ext4', 'e2fsck', 'resize2fs'],
    packages: everywhere('e2fsprogs'),
  },
  { id: 'diffutils', title: 'diffutils', programs: ['cmp'], packages: everywhere('diffutils') },
  {
    id: 'iproute2',
    title: 'iproute2',
    programs: ['ip'],
    packages: { apt: ['iproute2'], dnf: ['iproute'], zypper: ['iproute2'] },
  },
  { id: 'nftables', title: 'nftables', programs: ['nft'], packages: everywhere('nftables') },
  {
    id: 'iptables',
    title: 'iptables',
    programs: ['iptables'],
    packages: { apt: ['iptables'], dnf: ['iptables-nft'], zypper: ['iptables'] },
  },
  { id: 'rsync', title: 'rsync', programs: ['rsync'], packages: everywhere('rsync') },
  { id: 'findutils', title: 'findutils', programs: ['find'], packages: everywhere('findutils') },
  { id: 'kmod', title: 'kmod', programs: ['modprobe'], packages: everywhere('kmod') },
  {
    id: 'procps',
    title: 'procps',
    programs: ['sysctl', 'pkill'],
    packages: { apt: ['procps'], dnf: ['procps-ng'], zypper: ['procps'] },
  },
];

/** Not a program but a plugin of the docker command; version 2 and newer (version 1 is a program of its own and too old). */
export const COMPOSE: Need = {
  id: 'compose',
  title: 'docker compose',
  programs: [],
  packages: {
    apt: ['docker-compose-plugin', 'docker-compose-v2', 'docker-compose'],
    dnf: ['docker-compose-plugin', 'docker-compose'],
    zypper: ['docker-compose'],
  },
};

/** Tools of the filesystem that a pool is made with. */
export const POOL_NEEDS: Readonly<Record<'btrfs' | 'xfs', Need>> = {
  btrfs: {
    id: 'btrfs-progs',
    title: 'btrfs tools',
    programs: ['mkfs.btrfs'],
    packages: { apt: ['btrfs-progs'], dnf: ['btrfs-progs'], zypper: ['btrfsprogs'] },
  },
  xfs: { id: 'xfsprogs', title: 'xfs tools', programs: ['mkfs.xfs'], packages: everywhere('xfsprogs') },
};

/** Kernel modules by what they are for. */
export const MODULES = {
  encryption: ['dm_crypt', 'xts'],
  loop: ['loop'],
  network: ['veth', 'bridge', 'nf_tables', 'nft_masq', 'nft_ct'],
  containers: ['overlay'],
  volume: ['ext4'],
} as const;
export const ALL_MODULES: readonly string[] = Object.values(MODULES).flat();

/** Ranges in sets of several fields, which the guard's source check needs: Linux 5.6 (nft_set_pipapo). */
export const KERNEL_FLOOR = [5, 6] as const;
/** The oldest that is tried (Debian 12). */
export const KERNEL_TRIED = [6, 1] as const;
/** NetworkNamespacePath= came with 242, TemporaryFileSystem= with 238 (systemd.exec(5)). */
export const SYSTEMD_FLOOR = 242;
/** The oldest that is tried (Debian 12). */
export const SYSTEMD_TRIED = 252;
/** Room that creating anything worth while needs. */
export const DATASTORE_FLOOR_BYTES = 1024 ** 3;
