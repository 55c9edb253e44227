// The bridge as a program of its own (connect.mjs): every command starts it on the server, and it must not wait until
// the whole agent has been read.
import { connect } from './connect.ts';
import { endProcess } from './end-process.ts';
import { AGENT_SOCKET } from './layout.ts';

void connect(AGENT_SOCKET).then(endProcess);
