// Starting and stopping what stands on an open volume: namespace and daemon. Rediaccfiles are not run here
// (passes.ts); the volume is not touched (volume.ts).
import { RdcError } from '../protocol/errors.ts';
import { command } from './command.ts';
import type { RepoFacts } from './facts.ts';
import type { Step } from './step.ts';
import { makeDirectory, remove, run, write } from './step.ts';
import type { RepoTarget } from './target.ts';
import { startUnitStep, stopUnitStep } from './units.ts';

/** On an open volume: our directories in it, the namespace, the daemon, and the promise to run down(). */
export function startDaemonSteps(target: RepoTarget): Step<RepoFacts>[] {
  const { units } = target;
  return [
    internalDirectoriesStep(target),
    startUnitStep({
      id: 'net.start',
      title: 'start the network namespace',
      already: 'the network namespace is there',
      unit: units.net,
      state: (facts) => (facts.namespace ? facts.units.net.active : 'inactive'),
    }),
    startDockerStep(target),
    startUnitStep({
      id: 'repo.guard',
      title: 'hand the services to systemd',
      already: 'systemd knows the services',
      unit: units.repo,
      state: (facts) => facts.units.repo.active,
    }),
  ];
}

/** Whoever writes in the volume may have put a link there, and what is made and written through it lies outside, made by root. */
function internalDirectoriesStep({ name, paths }: RepoTarget): Step<RepoFacts> {
  return {
    id: 'volume.directories',
    title: 'prepare the volume',
    already: 'the volume is prepared',
    guard({ inTheirPlace }) {
      if (inTheirPlace === undefined) return;
      const place = inTheirPlace.slice(paths.mountPoint.length + 1);
      throw new RdcError(
        'INVALID_INPUT',
        `"${place}" in repository "${name}" is not a directory: it is docker's and ours`,
        {
          hint: `look what it is, then on the server: rm ${inTheirPlace}`,
        },
      );
    },
    isDone: (facts) => facts.directories,
    actions: () => [
      // 0711: containers of other users reach what is bound into them, nobody lists the rest.
      makeDirectory(paths.internal, 0o711),
      makeDirectory(paths.dockerData, 0o711),
      makeDirectory(paths.home, 0o700),
    ],
  };
}

function startDockerStep({ units, net }: RepoTarget): Step<RepoFacts> {
  const start = startUnitStep({
    id: 'docker.start',
    title: 'start the docker daemon',
    already: 'the docker daemon is running',
    unit: units.docker,
    state: (facts) => (facts.socket ? facts.units.docker.active : 'inactive'),
  });
  // systemd says "active" when dockerd says READY; the question for its version is answered by the API itself.
  const ping = command('docker', '--host', `unix://${net.dockerSocket}`, 'version', '--format', '{{.Server.Version}}');
  // The unit cannot make it: even a line with "+" sees a /run of its own (systemd 257).
  const link = command('ln', '--symbolic', '--force', '--no-dereference', net.daemonSocket, net.dockerSocket);
  // dockerd gives its containerd 15 s and takes no other number: a busy machine may need a second try, which does nothing after a good one.
  const firstTry = { ...command('systemctl', 'start', units.docker), timeoutMs: 180_000, allow: [1] };
  const actions: typeof start.actions = (facts) => [run(link), run(firstTry), ...start.actions(facts), run(ping)];
  return { ...start, actions, settleMs: 15_000 };
}

/** Written before the first function runs, so that a shutdown in the middle of `up` still runs `down`. */
export function promiseDownStep(target: RepoTarget): Step<RepoFacts> {
  return {
    id: 'repo.promise-down',
    title: 'note that down() will be due',
    already: 'down() is due',
    isDone: (facts) => facts.needsDown,
    actions: () => [write(target.needsDownFlag, '', 0o600)],
  };
}

/** After the pass of down(): its unit goes without running it again. */
export function releaseRepoSteps(target: RepoTarget): Step<RepoFacts>[] {
  return [
    {
      id: 'repo.down-done',
      title: 'note that down() has run',
      already: 'down() is not due',
      isDone: (facts) => !facts.needsDown,
      actions: () => [remove(target.needsDownFlag)],
    },
    stopUnitStep({
      id: 'repo.release',
      title: 'take the services from systemd',
      already: 'systemd watches no services',
      unit: target.units.repo,
      state: (facts) => facts.units.repo.active,
    }),
  ];
}

/** Daemon first, namespace after it. The volume may be closed only when the slice is empty. */
export function stopDaemonSteps(target: RepoTarget): Step<RepoFacts>[] {
  const { units } = target;
  const stopDocker = stopUnitStep({
    id: 'docker.stop',
    title: 'stop the docker daemon',
    already: 'the docker daemon is stopped',
    unit: units.docker,
    state: (facts) => facts.units.docker.active,
  });
  const emptied = stopUnitStep({
    id: 'slice.stop',
    title: 'end what is left in the slice',
    already: 'no process of the repository is left',
    unit: target.net.slice,
    state: (facts) => (facts.sliceBusy ? 'active' : 'inactive'),
  });
  const stopNet = stopUnitStep({
    id: 'net.stop',
    title: 'remove the network namespace',
    already: 'there is no network namespace',
    unit: units.net,
    state: (facts) => facts.units.net.active,
  });
  return [stopDocker, emptied, { ...stopNet, isDone: (facts) => stopNet.isDone(facts) && !facts.namespaceLeft }];
}
