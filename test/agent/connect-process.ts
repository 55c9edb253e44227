// The bridge as a process of its own. Word: socket.
import { connect } from '../../src/agent/connect.ts';

const code = await connect(process.argv[2] ?? '');
await new Promise((resolve) => process.stdout.write('', resolve));
process.exit(code);
