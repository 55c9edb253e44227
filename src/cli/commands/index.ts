// The first words of all commands. Their modules are loaded only when the command line names them.
import type { CommandGroup } from '../command.ts';

export const GROUPS: readonly CommandGroup[] = [
  {
    name: 'context',
    summary: 'contexts and the machines in them',
    load: async () => [
      (await import('./context-create.ts')).createLocal,
      ...(await import('./context-commands.ts')).CONTEXT_COMMANDS,
      ...(await import('./machine-records.ts')).MACHINE_RECORD_COMMANDS,
      (await import('./setup-machine.ts')).setupMachine,
    ],
  },
  {
    name: 'repo',
    summary: 'encrypted repositories and the applications in them',
    subgroups: {
      'repo credential': 'the keys of repositories',
      'repo autostart': 'what a machine starts by itself when it boots',
    },
    load: async () => [
      (await import('./repo-create.ts')).repoCreate,
      (await import('./repo-fork.ts')).repoFork,
      ...(await import('./repo-volume.ts')).VOLUME_COMMANDS,
      ...(await import('./repo-services.ts')).SERVICES_COMMANDS,
      ...(await import('./repo-all.ts')).ALL_COMMANDS,
      ...(await import('./repo-autostart.ts')).AUTOSTART_COMMANDS,
      (await import('./repo-compose.ts')).repoCompose,
      ...(await import('./repo-look.ts')).LOOK_COMMANDS,
      (await import('./repo-validate.ts')).repoValidate,
      (await import('./repo-limits.ts')).repoLimits,
      (await import('./repo-resize.ts')).repoResize,
      (await import('./repo-rescue.ts')).repoRescue,
      (await import('./repo-delete.ts')).repoDelete,
      ...(await import('./repo-credential.ts')).CREDENTIAL_COMMANDS,
      (await import('./repo-restore-header.ts')).repoRestoreHeader,
      (await import('./repo-adopt.ts')).repoAdopt,
    ],
  },
  {
    name: 'sync',
    summary: 'copy files into and out of repositories',
    load: async () => (await import('./sync.ts')).SYNC_COMMANDS,
  },
  {
    name: 'run',
    summary: 'what machines are doing and have done',
    load: async () => (await import('./run.ts')).RUN_COMMANDS,
  },
  {
    name: 'machine',
    summary: 'the machines themselves',
    load: async () => [
      ...(await import('./machine.ts')).MACHINE_COMMANDS,
      (await import('./machine-doctor.ts')).machineDoctor,
      (await import('./machine-prune.ts')).machinePrune,
      (await import('./machine-supervision.ts')).machineSupervision,
    ],
  },
  {
    name: 'ops',
    summary: 'a playground machine on this workstation',
    load: async () => (await import('./ops.ts')).OPS_COMMANDS,
  },
  {
    name: 'doctor',
    summary: 'check this workstation',
    load: async () => [(await import('./doctor.ts')).doctor],
  },
  {
    name: '__docs',
    summary: 'write the reference of all commands',
    hidden: true,
    load: async () => [(await import('./docs.ts')).docsCommand(() => GROUPS)],
  },
];
