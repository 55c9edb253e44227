// Small files that setup puts on the machine, each with what makes it count. Contents are rendered here; whether they
// are in place is judged by text and mode, so that a second setup changes nothing.
import { command } from '../lifecycle/command.ts';
import { type GuardSettings, guardText } from '../lifecycle/guard.ts';
import type { Action, Step } from '../lifecycle/step.ts';
import { makeDirectory, remove, run, write } from '../lifecycle/step.ts';
import { AGENT_LAUNCHER, CONFIG_DIR, GUARD_FILE, SUDOERS_FILE, UNIT_DIR } from './layout.ts';
import type { SetupFacts } from './setup-facts.ts';

/** Renews the guard after a start of docker or nftables; see its file. */
export const REFRESH_UNIT = 'rediacc-guard-refresh.service';

export interface SetupFile {
  id: string;
  title: string;
  already: string;
  path: string;
  text: string;
  mode: number;
  /** Looks at the new text at `path` before it is put in place; fails where it would do harm. */
  check?(path: string): Action;
  /** Makes whoever reads the file read it again. */
  afterwards?(facts: SetupFacts): Action[];
}

export function fileStep(file: SetupFile): Step<SetupFacts> {
  const { id, title, already, path, text, mode } = file;
  const directory = path.slice(0, path.lastIndexOf('/'));
  // In a directory of ours: nobody else reads a half-checked file there.
  const candidate = `${CONFIG_DIR}/${path.slice(directory.length + 1)}.new`;
  return {
    id,
    title,
    already,
    isDone: (facts) => facts.files[path]?.text === text && facts.files[path]?.mode === mode,
    actions: (facts) => [
      makeDirectory(directory, 0o755),
      ...(file.check === undefined
        ? [write(path, text, mode)]
        : [
            makeDirectory(CONFIG_DIR, 0o755),
            write(candidate, text, mode),
            file.check(candidate),
            run(command('mv', '--force', candidate, path)),
          ]),
      ...(file.afterwards?.(facts) ?? []),
    ],
    ...(file.check === undefined ? {} : { undo: () => [remove(candidate)] }),
  };
}

/** The volume's unit waits for the datastore at boot and is stopped before it goes away. */
export function datastoreDropIn(datastore: string): SetupFile {
  return {
    id: 'units.datastore',
    title: 'tie the units to the datastore',
    already: 'the units know the datastore',
    path: `${UNIT_DIR}/rediacc-volume@.service.d/10-datastore.conf`,
    text: `# Written by renet when the machine is set up.\n[Unit]\nRequiresMountsFor=${datastore}\n`,
    mode: 0o644,
    // On a first setup, enabling the unit that comes next makes systemd read everything.
    afterwards: ({ services }) =>
      services[REFRESH_UNIT]?.enabled === 'enabled' ? [run(command('systemctl', 'daemon-reload'))] : [],
  };
}

export function guardFile(settings: GuardSettings): SetupFile {
  return {
    id: 'guard.rules',
    title: 'write the rules of the guard',
    already: 'the rules of the guard are written',
    path: GUARD_FILE,
    text: guardText(settings),
    mode: 0o644,
    check: (path) => run(command('nft', '--check', '--file', path)),
    afterwards: (facts) =>
      facts.services['rediacc-guard.service']?.active === 'active'
        ? [run(command('systemctl', 'reload', 'rediacc-guard.service'))]
        : [],
  };
}

/** One line per login name; lines that are there stay. */
export function sudoersFile(user: string, existing: string | undefined): SetupFile {
  const line = `${user} ALL=(root) NOPASSWD: ${AGENT_LAUNCHER} connect`;
  const before = existing ?? '# The one command that rdc runs as root on this machine.\n';
  return {
    id: 'sudo.rule',
    title: `let ${user} reach the agent`,
    already: `${user} reaches the agent`,
    path: SUDOERS_FILE,
    text: before.split('\n').includes(line) ? before : `${before.replace(/\n*$/, '\n')}${line}\n`,
    mode: 0o440,
    check: (path) => run(command('visudo', '-c', '-q', '-f', path)),
  };
}

/** NetworkManager.conf(5): "+=" adds to what other files name. */
export function networkManagerFile(): SetupFile {
  return {
    id: 'network.networkmanager',
    title: "keep NetworkManager off the repositories' links",
    already: "NetworkManager leaves the repositories' links alone",
    path: '/etc/NetworkManager/conf.d/90-rediacc.conf',
    text: '[keyfile]\nunmanaged-devices+=interface-name:rdh*\n',
    mode: 0o644,
    afterwards: reloadIfActive('NetworkManager.service'),
  };
}

/** systemd.network(5) */
export function networkdFile(): SetupFile {
  return {
    id: 'network.networkd',
    title: "keep systemd-networkd off the repositories' links",
    already: "systemd-networkd leaves the repositories' links alone",
    path: '/etc/systemd/network/10-rediacc.network',
    text: '[Match]\nName=rdh*\n\n[Link]\nUnmanaged=yes\n',
    mode: 0o644,
    afterwards: ({ services }) =>
      services['systemd-networkd.service']?.active === 'active' ? [run(command('networkctl', 'reload'))] : [],
  };
}

/** dhcpcd.conf(5) knows no directory of snippets; before the first `interface` block a line holds for all. */
export function dhcpcdFile(existing: string): SetupFile {
  const isThere = /^denyinterfaces\b.*\brdh\*/m.test(existing);
  return {
    id: 'network.dhcpcd',
    title: "keep dhcpcd off the repositories' links",
    already: "dhcpcd leaves the repositories' links alone",
    path: '/etc/dhcpcd.conf',
    text: isThere ? existing : `# rediacc: links of the repositories\ndenyinterfaces rdh*\n\n${existing}`,
    mode: 0o644,
    afterwards: reloadIfActive('dhcpcd.service'),
  };
}

/** A daemon that cannot reload reads its file at its next start. */
function reloadIfActive(unit: string): (facts: SetupFacts) => Action[] {
  return ({ services }) =>
    services[unit]?.active === 'active' ? [run({ ...command('systemctl', 'reload', unit), allow: [1] })] : [];
}
