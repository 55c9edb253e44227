// All that is wrong with a repository at once: one broken file does not hide the others.
import { describe, expect, it } from 'vitest';
import { examine } from '../../src/agent/repo-validate.ts';
import { mount, target } from '../helpers/compose-fixtures.ts';
import { FakeSystem } from '../helpers/fake-system.ts';

const repository = (badBash: string[] = []) =>
  new FakeSystem()
    .program('bash', ({ args }) => {
      const file = args.at(-1) ?? '';
      return badBash.some((directory) => file === `./${directory}/Rediaccfile`)
        ? { exitCode: 2, stderr: `${file}: line 3: syntax error\n` }
        : '';
    })
    .file(`${mount}/a/Rediaccfile`)
    .file(`${mount}/b/Rediaccfile`)
    .file(`${mount}/a/compose.yml`, 'services: [\n')
    .file(`${mount}/b/compose.yml`, 'services:\n  b: {image: x, privileged: true}\n')
    .file(target.paths.servicesFile, '{"services": {\n"gone": {"slot": 0},\n"x": {"slot": 0}}}');

describe('an examination', () => {
  it('tells of every broken file, with its line', async () => {
    const { findings, names } = await examine(repository(['b']), target);
    expect(findings.map(({ file, line, rule, severity }) => `${severity} ${file}:${line} ${rule}`)).toEqual([
      'error .rediacc.json:3 slots',
      'error b/Rediaccfile:3 bash',
      'error a/compose.yml:2 yaml',
      'warning b/compose.yml:2 privileged',
    ]);
    expect(findings[0]?.message).toBe('"gone" and "x" both have slot 0');
    expect(names).toEqual(['b']);
  });

  it('tells of a .env that "repo up" would refuse, without its value', async () => {
    const system = repository()
      .file(`${mount}/a/.env`, 'TAG=1\nB_IP=hunter2\n')
      .file(`${mount}/b/.env`, 'PATH=/hunter2\n');
    const { findings } = await examine(system, target);
    const told = findings
      .filter(({ rule }) => rule === 'env')
      .map(({ file, line, message }) => `${file}:${line} ${message}`);
    expect(told).toEqual([expect.stringMatching(/^a\/.env:2 .*B_IP/), expect.stringMatching(/^b\/.env:1 .*PATH/)]);
    expect(JSON.stringify(findings)).not.toContain('hunter2');
  });

  it('tells of every fault of a .env, and of one that hides the rest of it', async () => {
    const system = repository().file(`${mount}/a/.env`, 'FOO=1\nPATH=/evil\nHOME=x\nSECRET="unclosed\n');
    const { findings } = await examine(system, target);
    const told = findings.filter(({ rule }) => rule === 'env').map(({ file, line, message }) => [file, line, message]);
    expect(told).toEqual([
      ['a/.env', 2, expect.stringContaining('PATH')],
      ['a/.env', 3, expect.stringContaining('HOME')],
      ['a/.env', 4, 'has a value whose " is never closed'],
    ]);
  });

  it('tells of every directory with two Rediaccfiles, and of what else is wrong', async () => {
    const system = repository(['b']).file(`${mount}/c/Rediaccfile`).file(`${mount}/c/rediaccfile`);
    system.file(`${mount}/d/Rediaccfile`).file(`${mount}/d/REDIACCFILE`);
    const { findings } = await examine(system, target);
    expect(findings.filter(({ severity }) => severity === 'error').map(({ file, rule }) => `${file} ${rule}`)).toEqual([
      '.rediacc.json slots',
      'c rediaccfile',
      'd rediaccfile',
      'b/Rediaccfile bash',
      'a/compose.yml yaml',
    ]);
  });

  it('tells that there is nothing to start: no Rediaccfile, one of another name, or one too deep', async () => {
    const system = new FakeSystem()
      .file(`${mount}/Rediaccfile.txt`)
      .file(`${mount}/site/app/Rediaccfile`)
      .file(`${mount}/docker-compose.yml`, 'services: {}\n');
    const { findings } = await examine(system, target);
    expect(findings).toEqual([
      {
        file: 'Rediaccfile',
        rule: 'rediaccfile',
        severity: 'warning',
        message: expect.stringContaining('nothing else'),
      },
    ]);
  });

  it('control: of a repository in order finds nothing', async () => {
    const system = repository()
      .file(`${mount}/a/compose.yml`, 'services: {}\n')
      .file(`${mount}/b/compose.yml`, 'services: {}\n');
    system.file(target.paths.servicesFile, '{"services": {"gone": {"slot": 0}}}');
    const { findings, slots } = await examine(system, target);
    expect(findings).toEqual([]);
    expect(slots.services).toEqual({ gone: { slot: 0 } });
  });
});
