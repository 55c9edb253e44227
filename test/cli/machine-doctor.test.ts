// rdc machine doctor as a person and as a script see it.
import { describe, expect, it } from 'vitest';
import { workstation } from '../helpers/cli-world.ts';

const FINE = { id: 'agent', title: 'agent', status: 'ok' as const, found: '0.1.0' };
const LOW = { id: 'datastore', title: 'datastore', status: 'warning' as const, found: '1G free', fix: 'rdc repo list' };
const RULE = {
  id: 'firewall',
  title: 'firewalls of the host',
  status: 'missing' as const,
  found: 'ufw drops what it does not know',
  fix: 'rdc context setup-machine MACHINE',
};

describe('rdc machine doctor', () => {
  it('prints a line per check; warnings alone are no failure', async () => {
    const desk = workstation('prod');
    desk.machine.findingsOfDoctor = [FINE, LOW];
    const { stdout } = await desk.done('machine doctor prod');
    expect(stdout).toBe('✓ agent      0.1.0\n! datastore  1G free  -> rdc repo list\n');
  });

  it('ends with 1 where something is missing, and names the machine in what to do', async () => {
    const desk = workstation('prod');
    desk.machine.findingsOfDoctor = [FINE, RULE];
    const { stdout, exitCode } = await desk.rdc('machine doctor');
    expect(exitCode).toBe(1);
    expect(stdout).toContain('-> rdc context setup-machine prod\n');
  });

  it('gives data with --json, and the same exit code', async () => {
    const desk = workstation('prod');
    desk.machine.findingsOfDoctor = [FINE, RULE];
    const result = await desk.rdc('machine doctor prod --json');
    expect(result.exitCode).toBe(1);
    expect(result.json()).toEqual({
      machine: 'prod',
      healthy: false,
      checks: [FINE, { ...RULE, fix: 'rdc context setup-machine prod' }],
    });
  });
});
