// Compose projects as people have them: our own reader finds the services and refuses nothing. What they do on a machine
// is tried in test/long/wild.test.ts.
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkServices } from '../../src/lifecycle/check-services.ts';
import { copyIn, mount, rediaccfileIn, target } from '../helpers/compose-fixtures.ts';
import { FakeSystem } from '../helpers/fake-system.ts';
import { SHAPES, WILD } from '../helpers/wild-shapes.ts';

describe('compose projects from the wild', () => {
  it('are many', () => expect(SHAPES.length).toBeGreaterThanOrEqual(30));

  it.each(SHAPES)('$name: its services, and no error', async ({ name, services }) => {
    const system = new FakeSystem().directory(mount);
    copyIn(system, join(WILD, name), mount);
    system.file(`${mount}/Rediaccfile`, 'up() { renet compose -- up -d; }\n');
    const found = await checkServices(system, target, [rediaccfileIn('')], { services: {} });
    expect(found.findings.filter(({ severity }) => severity === 'error')).toEqual([]);
    expect(found.names.toSorted()).toEqual(services);
  });

  it('fit into one repository together: shared names share a slot, and no port is published twice', async () => {
    const system = new FakeSystem().directory(mount);
    for (const { name } of SHAPES) {
      copyIn(system, join(WILD, name), `${mount}/${name}`);
      system.file(`${mount}/${name}/Rediaccfile`, 'up() { renet compose -- up -d; }\n');
    }
    const places = SHAPES.map(({ name }) => rediaccfileIn(name));
    const found = await checkServices(system, target, places, { services: {} });
    const troubles = found.findings.filter(({ severity, rule }) => severity === 'error' || rule === 'port-conflict');
    expect(troubles).toEqual([]);
    expect(found.names.length).toBeLessThanOrEqual(61);
  });
});
