// A place for the agent under a temporary directory, and the access that leads to it over a real sshd.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AccessEvent, AgentAccess } from '../../../src/cli/ssh/access.ts';
import type { AgentBundle } from '../../../src/cli/ssh/agent-bundle.ts';
import { openSshTransport } from '../../../src/cli/ssh/openssh.ts';
import type { TestSshd } from './sshd.ts';

export interface Installation {
  prefix: string;
  launcher: string;
  libDir: string;
  events: AccessEvent[];
  /** Messages of the steps so far. */
  steps(): string[];
  access(bundle: AgentBundle, changes?: Partial<AgentAccess>): AgentAccess;
  remove(): void;
}

export function emptyInstallation(sshd: TestSshd): Installation {
  const prefix = mkdtempSync(join(tmpdir(), 'rdc-prefix-'));
  mkdirSync(join(prefix, 'bin'));
  mkdirSync(join(prefix, 'lib'));
  const [launcher, libDir] = [join(prefix, 'bin', 'renet'), join(prefix, 'lib', 'rediacc')];
  const events: AccessEvent[] = [];
  return {
    prefix,
    launcher,
    libDir,
    events,
    steps: () => events.filter((event) => event.kind === 'step').map((event) => event.message),
    access: (bundle, changes = {}) => ({
      transport: openSshTransport('/usr/bin/ssh'),
      target: sshd.target(),
      version: bundle.version,
      actor: 'anna@desk',
      bundle: async () => bundle,
      nodeRuntime: () => Promise.reject(new Error('the server has a node')),
      report: (event) => events.push(event),
      place: { launcher, libDir },
      ...changes,
    }),
    remove: () => rmSync(prefix, { recursive: true, force: true }),
  };
}
