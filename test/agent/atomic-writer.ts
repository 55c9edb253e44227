// Writes a file and never comes to its end: the data that it is to write never ends coming. Words: path.
import { open } from 'node:fs/promises';
import { writeFileAtomic } from '../../src/agent/atomic-file.ts';

const [path = ''] = process.argv.slice(2);
// The handle's class is not exported; its sync() never comes back.
const handle = await open('/dev/null');
Object.getPrototypeOf(handle).sync = () => new Promise(() => undefined);
setInterval(() => undefined, 1000);
await writeFileAtomic(path, 'torn', 0o600);
