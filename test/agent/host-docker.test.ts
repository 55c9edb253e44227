// Which directory of the host's own docker must be hidden from repositories.
import { expect, test } from 'vitest';
import { observeDockerData } from '../../src/agent/host-docker.ts';
import { FakeSystem } from '../helpers/fake-system.ts';

const dataOf = (text?: string) => {
  const system = new FakeSystem();
  if (text !== undefined) system.file('/etc/docker/daemon.json', text);
  return observeDockerData(system, '/mnt/rediacc');
};

test.each([
  ['{"data-root": "/srv/docker", "hosts": ["fd://"]}', '/srv/docker'],
  ['{"data-root": "/srv/docker//"}', '/srv/docker'],
  ['{"data-root": "/srv/my docker"}', '/srv/my docker'],
  ['{}', undefined],
  ['{"data-root": 3}', undefined],
  ['{"data-root": "docker"}', undefined],
  ['{"data-root": ', undefined],
  ['[]', undefined],
  ['null', undefined],
  // Hiding it would hide the datastore.
  ['{"data-root": "/mnt"}', undefined],
])('%s', async (text, expected) => {
  expect(await dataOf(text)).toBe(expected);
});

test('no file', async () => {
  expect(await dataOf()).toBeUndefined();
});
