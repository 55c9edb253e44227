// rdc repo validate as a person and as a script see it.
import { describe, expect, it } from 'vitest';
import { workstation } from '../helpers/cli-world.ts';

const WARNING = {
  file: 'web/compose.yml',
  line: 3,
  rule: 'privileged',
  severity: 'warning' as const,
  message: 'service "web" is privileged',
};
const ERROR = {
  file: 'compose.yml',
  rule: 'compose',
  severity: 'error' as const,
  message: 'a compose file is a mapping',
};

function shop() {
  const desk = workstation('prod');
  desk.machine.add('shop', 'k', 'mounted');
  return desk;
}

describe('rdc repo validate', () => {
  it('prints one line per finding; warnings alone are no failure', async () => {
    const desk = shop();
    desk.machine.findings = [WARNING];
    const { stdout, stderr } = await desk.done('repo validate shop');
    expect(stdout).toBe('web/compose.yml:3: warning: service "web" is privileged\n');
    expect(stderr).toContain('no errors, 1 warning');
  });

  it('ends with 1 where there is an error', async () => {
    const desk = shop();
    desk.machine.findings = [ERROR, WARNING];
    const { stdout, exitCode } = await desk.rdc('repo validate shop');
    expect(exitCode).toBe(1);
    expect(stdout.split('\n')[0]).toBe('compose.yml: error: a compose file is a mapping');
  });

  it('gives data with --json, and the same exit code', async () => {
    const desk = shop();
    desk.machine.findings = [ERROR];
    const result = await desk.rdc('repo validate shop --json');
    expect(result.exitCode).toBe(1);
    expect(result.json()).toMatchObject({ machine: 'prod', name: 'shop', findings: [ERROR], services: ['api'] });
  });

  it('names vanished services, and frees their slots when asked', async () => {
    const desk = shop();
    desk.machine.vanished = ['old'];
    expect((await desk.done('repo validate shop')).stderr).toContain('rdc repo validate shop --prune-slots');
    expect(desk.machine.vanished).toEqual(['old']);
    await desk.done('repo validate shop --prune-slots --dry-run');
    expect(desk.machine.vanished).toEqual(['old']);
    expect((await desk.done('repo validate shop --prune-slots')).stderr).toContain('freed the slots of old');
    expect(desk.machine.vanished).toEqual([]);
  });
});
