// systemd on the model machine with repositories: the chain of units, whose starting and stopping does what the real ones do.
import type { FakeAnswer, FakeCall } from './fake-system.ts';
import type { ModelMachine } from './model-machine.ts';
import { closeMapping, unmount } from './model-programs.ts';

const CHAIN = /^rediacc-(volume|net|docker|repo)@([0-9a-f-]{36})\.service$/;

export function systemctl(machine: ModelMachine, { args }: FakeCall): FakeAnswer {
  const names = args.slice(1).filter((word) => !word.startsWith('-'));
  switch (args[0]) {
    case 'list-units':
      return names.map((name) => (machine.active.has(name) ? `${name} loaded active running x` : '')).join('\n');
    case 'show':
      return names.map((name) => `Id=${name}\nNeedDaemonReload=no\nDropInPaths=${dropIns(machine, name)}`).join('\n');
    case 'start':
      return names.every((name) => start(machine, name)) ? '' : { exitCode: 1 };
    case 'stop':
      for (const name of names) stop(machine, name);
      return '';
    case 'daemon-reload':
    case 'reset-failed':
    case 'reload':
    case 'reload-or-restart':
      return '';
    default:
      throw new Error(`no model for "systemctl ${args.join(' ')}"`);
  }
}

function dropIns(machine: ModelMachine, unit: string): string {
  return [...machine.nodes.keys()].filter((path) => path.startsWith(`/run/systemd/system/${unit}.d/`)).join(' ');
}

/** What a unit is told by its drop-in. */
function networkId(machine: ModelMachine, guid: string): number {
  const record = machine.nodes.get(`/mnt/rediacc/.state/${guid}.json`)?.text;
  return (JSON.parse(record ?? '{}') as { networkId: number }).networkId;
}

function start(machine: ModelMachine, name: string): boolean {
  if (machine.active.has(name)) return true;
  const [, kind, guid = ''] = CHAIN.exec(name) ?? [];
  // Until a drop-in says what to start, /usr/bin/false.
  if (kind !== undefined && dropIns(machine, name) === '') return false;
  const id = kind === undefined ? 0 : networkId(machine, guid);
  if (kind === 'volume' && !machine.nodes.get('/proc/self/mountinfo')?.text.includes(`/repos/${guid} `)) return false;
  if (kind === 'net') {
    if (!start(machine, `rediacc-volume@${guid}.service`)) return false;
    machine.file(`/run/netns/rd${id}`).directory(`/sys/class/net/rdh${id}`);
  }
  if (kind === 'docker') {
    if (!start(machine, `rediacc-net@${guid}.service`)) return false;
    const path = `/run/rediacc/${id}/docker.sock`;
    machine.file(path);
    machine.nodes.set(path, { kind: 'socket', text: '', mode: 0o600, uid: 0, gid: 0 });
    machine.active.add(`rediacc-${id}.slice`);
  }
  if (kind === 'repo') start(machine, `rediacc-docker@${guid}.service`);
  machine.active.add(name);
  return true;
}

function stop(machine: ModelMachine, name: string): void {
  if (!machine.active.has(name)) return;
  const [, kind, guid = ''] = CHAIN.exec(name) ?? [];
  const id = kind === undefined ? 0 : networkId(machine, guid);
  // Requires=: what stands on it is stopped before it.
  if (kind === 'volume') stop(machine, `rediacc-net@${guid}.service`);
  if (kind === 'net') stop(machine, `rediacc-docker@${guid}.service`);
  machine.active.delete(name);
  if (kind === 'volume' && unmount(machine, `/mnt/rediacc/repos/${guid}`)) closeMapping(machine, `rediacc-${guid}`);
  if (kind === 'net') {
    machine.nodes.delete(`/run/netns/rd${id}`);
    machine.removeTree(`/sys/class/net/rdh${id}`);
  }
  if (kind === 'docker') machine.nodes.delete(`/run/rediacc/${id}/docker.sock`);
  if (kind === 'repo') machine.nodes.delete(`/run/rediacc/needs-down/${guid}`);
}
