// What runs in a repository's own daemon, asked through the docker CLI on its own socket.
import type { Command } from '../lifecycle/command.ts';
import { command } from '../lifecycle/command.ts';
import { readServicesFile } from '../lifecycle/services-file.ts';
import type { System } from '../lifecycle/system.ts';
import type { RepoTarget } from '../lifecycle/target.ts';
import { serviceAddress } from '../network/address.ts';
import type { Service } from '../protocol/operations.ts';
import type { RunContext } from './handlers.ts';

function docker({ net }: RepoTarget, ...args: string[]): Command {
  return command('docker', '--host', `unix://${net.dockerSocket}`, ...args);
}

export async function runningContainers(system: System, target: RepoTarget): Promise<string[]> {
  const { stdout } = await system.run(docker(target, 'ps', '--quiet'));
  return stdout.split('\n').filter((id) => id !== '');
}

/** Stops what the daemon has restarted by itself. */
export async function stopContainers(target: RepoTarget, { system, report }: RunContext): Promise<void> {
  const running = await runningContainers(system, target);
  if (running.length === 0) return;
  const step = {
    kind: 'step',
    id: 'docker.quiet',
    title: `stop ${running.length} containers that came back by themselves`,
  } as const;
  const started = system.now();
  report({ ...step, state: 'start' });
  await system.run(docker(target, 'stop', ...running));
  report({ ...step, state: 'done', ms: Math.round(system.now() - started) });
}

const STATES = '{{.Label "com.docker.compose.service"}}\t{{.State}}\t{{.Status}}';

/** Every service that has a slot, with the state of its container; "absent" where there is none. */
export async function listServices(system: System, target: RepoTarget): Promise<Service[]> {
  const file = await readServicesFile(system, target);
  const { stdout } = await system.run(docker(target, 'ps', '--all', '--format', STATES));
  const containers = stdout.split('\n').map((line) => line.split('\t'));
  return Object.entries(file.services)
    .sort(([, a], [, b]) => a.slot - b.slot)
    .map(([name, { slot }]) => {
      const [, state = 'absent', status = ''] = containers.find(([service]) => service === name) ?? [];
      const health = /\((healthy|unhealthy|health: starting)\)/.exec(status)?.[1];
      return {
        name,
        slot,
        ip: serviceAddress(target.networkId, slot),
        state,
        ...(health === undefined ? {} : { health }),
      };
    });
}
