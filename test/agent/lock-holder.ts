// Takes a lock and holds it until it is killed or its stdin ends. Words: directory, key, "shared" or "exclusive".
import { acquireLock } from '../../src/agent/lock.ts';
import type { RunId } from '../../src/protocol/ids.ts';

const [directory = '', key = '', kind] = process.argv.slice(2);
const lock = await acquireLock({
  directory,
  key,
  subject: '"shop"',
  owner: { run: '0123456789ab-01234567' as RunId, operation: 'repo up', actor: 'anna@laptop' },
  shared: kind === 'shared',
  waitMs: 0,
});
process.stdout.write('held\n');
process.stdin.resume().once('end', () => void lock.release());
