// A Debian server as setup meets it, on the model machine: package manager, systemd's unit files, kernel modules,
// firewalls. Fresh by default: nothing of what repositories need is installed.
import { HOST_PROGRAMS } from './fake-host-programs.ts';
import type { FakeNode } from './fake-system.ts';
import { FakeSystem } from './fake-system.ts';

export interface FakeUnit {
  active: string;
  /** UnitFileState; "" where there is no unit file. */
  enabled: string;
}

/** What apt can install: version, files, and units that its scripts enable and start. */
export interface FakePackage {
  version: string;
  files: string[];
  units?: string[];
  /** Installed packages that apt would upgrade or remove on the way, as it prints them. */
  changes?: string[];
}

export const TRIXIE: Record<string, FakePackage> = {
  'cryptsetup-bin': { version: '2:2.7.5-2', files: ['/usr/sbin/cryptsetup'] },
  dmsetup: { version: '2:1.02.205-2', files: ['/usr/sbin/dmsetup'] },
  'docker.io': {
    version: '26.1.5+dfsg1-9',
    files: ['/usr/sbin/dockerd', '/usr/bin/containerd', '/usr/sbin/runc'],
    units: ['docker.service', 'docker.socket', 'containerd.service'],
  },
  'docker-cli': { version: '26.1.5+dfsg1-9', files: ['/usr/bin/docker'] },
  'docker-compose': { version: '2.26.1-4', files: ['/usr/libexec/docker/cli-plugins/docker-compose'] },
  'ca-certificates': { version: '20250419', files: ['/etc/ssl/certs/ca-certificates.crt'] },
  nftables: { version: '1.1.3-1', files: ['/usr/sbin/nft'] },
  iptables: { version: '1.8.11-2', files: ['/usr/sbin/iptables'] },
  rsync: { version: '3.4.1', files: ['/usr/bin/rsync'] },
  'btrfs-progs': { version: '6.14', files: ['/usr/sbin/mkfs.btrfs'] },
};

const PRESENT = [
  'apt-get',
  'apt-cache',
  'mount',
  'umount',
  'losetup',
  'flock',
  'find',
  'findmnt',
  'mountpoint',
  'fallocate',
  'nsenter',
  'unshare',
  'setpriv',
  'pkill',
];
const PRESENT_TOO = ['mkfs.ext4', 'e2fsck', 'resize2fs', 'cmp', 'ip', 'modprobe', 'sysctl', 'sudo', 'visudo'];
const MODULES = ['dm_crypt', 'xts', 'loop', 'veth', 'bridge', 'nf_tables', 'nft_masq', 'nft_ct', 'overlay', 'btrfs'];

export class FakeHost extends FakeSystem {
  readonly units = new Map<string, FakeUnit>();
  packages: Record<string, FakePackage> = TRIXIE;
  listsAreThere = false;
  loadable = new Set(MODULES);
  freeBytes = 40 * 1024 ** 3;
  filesystem = 'ext4';
  users = new Set(['root', 'deploy', 'ops']);
  /** As `nft --json list chains` prints them. */
  chains: object[] = [];
  /** Units that ran although nobody asked for them. */
  readonly startedByPackages: string[] = [];

  constructor() {
    super();
    for (const name of [...PRESENT, ...PRESENT_TOO]) this.file(`/usr/bin/${name}`);
    this.file('/proc/sys/kernel/osrelease', '6.12.107+deb13-cloud-amd64\n');
    this.file('/proc/1/comm', 'systemd\n');
    this.file('/proc/sys/net/ipv4/ip_forward', '0\n');
    this.file('/proc/self/mountinfo', '25 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n');
    this.file('/sys/fs/cgroup/cgroup.controllers', 'cpuset cpu io memory hugetlb pids\n');
    this.directory('/sys/block').directory('/sys/module/ext4').directory('/etc/systemd/system').directory('/run');
    this.file('/lib/modules/6.12.107+deb13-cloud-amd64/modules.builtin', 'kernel/fs/ext4/ext4.ko\n');
    this.directory('/mnt').directory('/etc/sudoers.d').directory('/var/lib');
    for (const [name, model] of Object.entries(HOST_PROGRAMS)) this.program(name, (call) => model(this, call));
  }

  unit(name: string): FakeUnit {
    return this.units.get(name) ?? { active: 'inactive', enabled: this.#fileState(name) };
  }

  changeUnit(name: string, change: Partial<FakeUnit>): void {
    this.units.set(name, { ...this.unit(name), ...change });
  }

  /** What a person sees of the end state: everything but the journal. */
  state(): unknown {
    return {
      tree: this.tree('').filter((line) => !line.includes(' /run/rediacc-package-lists')),
      units: [...this.units],
    };
  }

  #fileState(name: string): string {
    return this.nodes.has(`/etc/systemd/system/${name}`) ? 'disabled' : '';
  }

  mountPool(where: string, image: string, filesystem: string): void {
    this.file('/sys/block/loop7/loop/backing_file', `${image}\n`);
    const mountinfo = this.nodes.get('/proc/self/mountinfo') as FakeNode;
    mountinfo.text += `40 25 7:7 / ${where} rw,nosuid,nodev,noatime shared:9 - ${filesystem} /dev/loop7 rw\n`;
  }
}
