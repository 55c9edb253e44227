// Three changes and a look through the fault hook. Words: directory, where the fault's file is too.
import { withFaultHook } from '../../src/agent/fault-hook.ts';
import { createLinuxSystem } from '../../src/agent/linux-system.ts';
import { command } from '../../src/lifecycle/command.ts';

const [directory = ''] = process.argv.slice(2);
const system = withFaultHook(createLinuxSystem(), `${directory}/fault.json`);
await system.remove(`${directory}/absent`);
await system.writeFile(`${directory}/first`, '', 0o600);
await system.run(command('stat', directory));
await system.run(command('sh', '-c', 'sleep 0.3; touch "$0/second"', directory));
await system.makeDirectory(`${directory}/third`, 0o700);
process.stdout.write('done\n');
