// What a setup leaves, as a person sees it: the model machine (test/agent/setup.test.ts) and a real one
// (test/machine/main-job.test.ts) must both come to this.

/** Below the datastore /mnt/rediacc: mode, kind, path; in byte order. */
export const DATASTORE = [
  '600 file /mnt/rediacc/.reserve',
  '700 directory /mnt/rediacc/.credentials',
  '700 directory /mnt/rediacc/.credentials/keys',
  '700 directory /mnt/rediacc/.state',
  '700 directory /mnt/rediacc/repos',
  '700 directory /mnt/rediacc/repositories',
  '711 directory /mnt/rediacc',
];

/** Files of the machine: mode and path. */
export const FILES = ['600 /etc/rediacc/machine.json', '440 /etc/sudoers.d/rediacc'];

export const SUDO_LINE = 'deploy ALL=(root) NOPASSWD: /usr/bin/renet connect';

/** Of machine.json, beside what differs from machine to machine. */
export const RECORD = { version: 1, datastore: '/mnt/rediacc' };
