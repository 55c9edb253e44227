// Every shape of compose file that people have, held against what the real docker compose said about it.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkServices } from '../../src/lifecycle/check-services.ts';
import { copyIn, expectedOf, FIXTURES, mount, rediaccfileIn, target } from '../helpers/compose-fixtures.ts';
import { FakeSystem } from '../helpers/fake-system.ts';

async function checkFixture(name: string) {
  const system = new FakeSystem().directory(mount);
  copyIn(system, join(FIXTURES, name), mount);
  return checkServices(system, target, [rediaccfileIn('')], { services: {} });
}

const names = readdirSync(FIXTURES);
const answered = names.filter((name) => expectedOf(name).services !== undefined);
const refused = names.filter((name) => expectedOf(name).refused === true && expectedOf(name).differs === undefined);

describe('services of a compose project', () => {
  it('are tried with many shapes', () => expect(answered.length).toBeGreaterThan(50));

  it.each(answered)('%s: those that compose names', async (name) => {
    const found = await checkFixture(name);
    expect(found.names.toSorted()).toEqual(expectedOf(name).services);
  });

  it.each(refused)('%s: told, as compose refuses it', async (name) => {
    const { findings } = await checkFixture(name);
    expect(findings.filter(({ severity }) => severity !== 'note')).not.toEqual([]);
  });
});
