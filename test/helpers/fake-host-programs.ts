// The programs of the fake host, interpreted over its state.
import type { FakeHost, FakePackage } from './fake-host.ts';
import type { FakeCall } from './fake-system.ts';

type Model = (host: FakeHost, call: FakeCall) => string | { exitCode: number; stdout?: string; stderr?: string };

export const HOST_PROGRAMS: Record<string, Model> = {
  systemctl: (host, { args }) => {
    const names = args.slice(1).filter((word) => !word.startsWith('-'));
    switch (args[0]) {
      case '--version':
        return 'systemd 257 (257.13-1~deb13u1)\n+PAM +AUDIT\n';
      case 'show':
        return names.map((name) => showUnit(host, name)).join('\n\n');
      case 'mask':
        for (const name of names) host.changeUnit(name, { enabled: 'masked' });
        return '';
      case 'unmask':
        for (const name of names) host.changeUnit(name, { enabled: 'enabled' });
        return '';
      case 'disable':
        for (const name of names) host.changeUnit(name, { enabled: 'disabled' });
        return '';
      case 'enable':
        for (const name of names) enable(host, name, args.includes('--now'));
        return '';
      case 'daemon-reload':
      case 'reload':
        return '';
      default:
        throw new Error(`no model for "systemctl ${args.join(' ')}"`);
    }
  },
  'apt-get': (host, { args }) => {
    if (args[0] === 'update') {
      host.listsAreThere = true;
      return '';
    }
    const names = args.slice(1).filter((word) => !word.startsWith('-'));
    const unknown = names.filter((name) => !host.listsAreThere || host.packages[name] === undefined);
    if (unknown.length > 0) return { exitCode: 100, stderr: `E: Unable to locate package ${unknown[0]}` };
    if (args.includes('--simulate')) {
      return names.flatMap((name) => [`Inst ${name} (1 Debian)`, ...(host.packages[name]?.changes ?? [])]).join('\n');
    }
    for (const name of names) installPackage(host, host.packages[name]);
    return '';
  },
  'apt-cache': (host, { args }) =>
    args
      .slice(1)
      .filter((name) => host.listsAreThere && host.packages[name] !== undefined)
      .map((name) => `${name}:\n  Installed: (none)\n  Candidate: ${host.packages[name]?.version}\n  Version table:\n`)
      .join(''),
  modprobe: (host, { args }) => {
    const names = args.filter((word) => !word.startsWith('-'));
    if (names.some((name) => !host.loadable.has(name))) return { exitCode: 1 };
    if (!args.includes('--dry-run')) for (const name of names) host.directory(`/sys/module/${name}`);
    return '';
  },
  df: (host) => `Type 1B-blocks Avail\n${host.filesystem} ${host.freeBytes * 2} ${host.freeBytes}\n`,
  realpath: (_host, { args }) => `${args.at(-1)}\n`,
  getent: (host, { args }) => {
    if (args[0] === 'passwd') return host.users.has(args[1] ?? '') ? `${args[1]}:x:1000:` : { exitCode: 2 };
    return args[1] === 'mirror.example'
      ? '10.9.8.7      STREAM mirror.example\n10.9.8.7      DGRAM\n'
      : { exitCode: 2 };
  },
  docker: (host, { args }) => {
    if (args.join(' ') !== 'compose version --short') throw new Error(`no model for "docker ${args.join(' ')}"`);
    const hasPlugin = host.nodes.has('/usr/libexec/docker/cli-plugins/docker-compose');
    return hasPlugin ? '2.26.1-4\n' : { exitCode: 1, stderr: "docker: 'compose' is not a docker command." };
  },
  nft: (host, { args }) =>
    args[0] === '--json' ? JSON.stringify({ nftables: [{ metainfo: {} }, ...host.chains] }) : '',
  visudo: (host, { args }) =>
    host.nodes.get(args.at(-1) ?? '')?.text.endsWith('renet connect\n') ? '' : { exitCode: 1, stderr: 'syntax error' },
  ufw: (host, { args }) => {
    const [route, allow, , , link] = args;
    if (route !== 'route' || allow !== 'allow') throw new Error(`no model for "ufw ${args.join(' ')}"`);
    const before = host.nodes.get('/etc/ufw/user.rules')?.text ?? '';
    host.file('/etc/ufw/user.rules', `${before}-A ufw-user-forward -i ${link} -j ACCEPT\n`);
    return 'Rule added\n';
  },
  fallocate: (host, { args }) => {
    const node = host.nodes.get(args.at(-1) ?? '');
    if (node === undefined) return { exitCode: 1 };
    node.sizeBytes = Number(args[1]);
    return '';
  },
  'mkfs.btrfs': (host, { args }) => {
    const node = host.nodes.get(args.at(-1) ?? '');
    if (node === undefined) return { exitCode: 1 };
    node.text = 'btrfs';
    return '';
  },
};

function showUnit(host: FakeHost, name: string): string {
  const { active, enabled } = host.unit(name);
  const load = enabled === '' ? 'not-found' : 'loaded';
  return `Id=${name}\nLoadState=${load}\nActiveState=${active}\nUnitFileState=${enabled}\nNeedDaemonReload=no`;
}

function enable(host: FakeHost, name: string, now: boolean): void {
  const text = host.nodes.get(`/etc/systemd/system/${name}`)?.text;
  if (text === undefined) throw new Error(`Failed to enable unit: Unit file ${name} does not exist.`);
  host.changeUnit(name, { enabled: 'enabled' });
  if (!now) return;
  host.changeUnit(name, { active: 'active' });
  const value = (key: string) => new RegExp(`^${key}=(.*)$`, 'm').exec(text)?.[1] ?? '';
  if (name.endsWith('.mount')) host.mountPool(value('Where'), value('What'), value('Type'));
}

/** As Debian's maintainer scripts do: units are enabled, and started unless they are masked. */
function installPackage(host: FakeHost, found: FakePackage | undefined): void {
  for (const file of found?.files ?? []) host.file(file);
  for (const name of found?.units ?? []) {
    if (host.unit(name).enabled === 'masked') continue;
    host.changeUnit(name, { enabled: 'enabled', active: 'active' });
    host.startedByPackages.push(name);
  }
}
