import { describe, expect, it } from 'vitest';
import { prepareCompose, standaloneEnvironment } from '../../src/agent/compose-call.ts';
import { composeUnit } from '../../src/agent/compose-unit.ts';
import { findRediaccfiles } from '../../src/lifecycle/rediaccfile.ts';
import { literalWords } from '../../src/lifecycle/unit-text.ts';
import { parseServicesFile } from '../../src/network/services.ts';
import { scriptedSystem } from '../helpers/scripted-system.ts';
import { shopTarget } from '../helpers/target.ts';

const target = shopTarget();
const mount = target.paths.mountPoint;
const SERVICES = '{"services": {"web": {"slot": 0}}, "kept": 1}';

function world(files: Record<string, string> = {}) {
  return scriptedSystem(() => ({}), {
    [`${mount}/Rediaccfile`]: '',
    [`${mount}/My App/Rediaccfile`]: '',
    [`${mount}/.rediacc.json`]: SERVICES,
    ...files,
  });
}

async function prepare(system: ReturnType<typeof world>) {
  const services = parseServicesFile('x', system.files.get(`${mount}/.rediacc.json`));
  return prepareCompose(system, { target, rediaccfiles: await findRediaccfiles(system, mount), services });
}

describe('before a pass', () => {
  it('every directory gets its project, which .rediacc.json keeps beside what it has', async () => {
    const system = world();
    const environmentOf = await prepare(system);
    expect(environmentOf({ directory: '' })).toMatchObject({
      COMPOSE_PROJECT_NAME: 'shop',
      REDIACC_SERVICES: 'web=127.0.11.2',
    });
    expect(environmentOf({ directory: 'My App' })).toMatchObject({
      COMPOSE_PROJECT_NAME: 'myapp',
      REDIACC_PROJECTS: 'shop=/myapp=My App',
    });
    expect(JSON.parse(system.files.get(`${mount}/.rediacc.json`) ?? '')).toEqual({
      ...JSON.parse(SERVICES),
      projects: { '': 'shop', 'My App': 'myapp' },
    });
  });

  it('nothing is written where nothing is new', async () => {
    const system = world();
    await prepare(system);
    system.writeFile = () => Promise.reject(new Error('written again'));
    expect((await prepare(system))({ directory: '' })).toMatchObject({ COMPOSE_PROJECT_NAME: 'shop' });
  });

  it.each([
    ['compose.yaml', 'name: author\n'],
    ['docker-compose.override.yml', 'name: author\n'],
    ['.env', 'COMPOSE_PROJECT_NAME=author\n'],
  ])('a name in %s wins', async (file, text) => {
    const environmentOf = await prepare(world({ [`${mount}/My App/${file}`]: text }));
    expect(environmentOf({ directory: 'My App' })).not.toHaveProperty('COMPOSE_PROJECT_NAME');
    expect(environmentOf({ directory: '' })).toHaveProperty('COMPOSE_PROJECT_NAME', 'shop');
  });
});

describe('without a pass', () => {
  it('the environment is that of a function there, and nothing is written', async () => {
    const system = world();
    const environment = await standaloneEnvironment(system, target, 'My App');
    expect(environment).toMatchObject({
      WEB_IP: '127.0.11.2',
      REPOSITORY_PATH: mount,
      DOCKER_HOST: target.net.dockerHost,
      COMPOSE_PROJECT_NAME: 'myapp',
    });
    expect(system.files.get(`${mount}/.rediacc.json`)).toBe(SERVICES);
  });

  it('a directory without a Rediaccfile is one of the root', async () => {
    expect(await standaloneEnvironment(world(), target, 'other')).toMatchObject({ COMPOSE_PROJECT_NAME: 'shop' });
  });
});

describe('the unit of rdc repo compose', () => {
  const words = ['exec', 'web', 'sh', '-c', 'echo $$ $HOME %n'];
  const { unit, run } = composeUnit({
    target,
    directory: `${mount}/a b`,
    environment: { A: 'x y' },
    words,
    terminal: undefined,
    host: { resolvConf: { source: '/r', place: '/etc/resolv.conf' }, dockerData: undefined },
  });

  it('is in the slice and the namespace, sees what a function sees, and ends before the daemon', () => {
    expect(run.args).toEqual(
      expect.arrayContaining([
        `--unit=${unit}`,
        '--description=docker compose of repository shop',
        '--slice=rediacc-2816.slice',
        '--property=NetworkNamespacePath=/run/netns/rd2816',
        `--property=BindsTo=${target.units.docker}`,
        '--property=DevicePolicy=closed',
        '--property=BindReadOnlyPaths=/r:/etc/resolv.conf',
        '--setenv=A=x y',
      ]),
    );
  });

  it('gets its words so that systemd gives them on untouched', () => {
    expect(run.args.slice(-6)).toEqual(literalWords([`${mount}/a b`, ...words]).slice(4));
  });
});
