// `renet unit autostart`: rediacc-autostart.service asks the agent's daemon to start what is marked, and follows it in the
// journal. The run belongs to the daemon: ending this unit does not end it. Once a boot: `systemctl isolate` starts the unit again,
// and what a person has stopped since stays so.
import { connect } from 'node:net';
import { createMessageConnection, StreamMessageReader, StreamMessageWriter } from 'vscode-jsonrpc/node.js';
import { messageOf } from '../protocol/errors.ts';
import type { RunEvent } from '../protocol/events.ts';
import { type ClientHello, PROTOCOL_VERSION, serverHelloSchema } from '../protocol/hello.ts';
import { eventsNotification, runRequest, startedNotification } from '../protocol/rpc.ts';
import { agentVersion } from './agent-version.ts';
import { readHelloLine } from './hello-line.ts';
import { AGENT_SOCKET, AUTOSTARTED_FLAG } from './layout.ts';
import { createLinuxSystem } from './linux-system.ts';

const HELLO_MS = 60_000;

/** Always 0: how it went is told by `rdc repo autostart list`, and a boot is not failed because of it. */
export async function autostartUnit(print: (event: RunEvent) => void): Promise<number> {
  const system = createLinuxSystem();
  if ((await system.stat(AUTOSTARTED_FLAG)) !== undefined) {
    process.stdout.write('this is no boot: nothing is started; all repositories: rdc repo up-all\n');
    return 0;
  }
  const socket = connect(AGENT_SOCKET);
  const lost = new Promise<never>((_, reject) => {
    socket.once('error', reject);
    socket.once('close', () =>
      reject(new Error('the agent has closed the connection; its run is told by: rdc run list')),
    );
  });
  lost.catch(() => undefined);
  try {
    const hello: ClientHello = {
      rdc: 1,
      protocol: PROTOCOL_VERSION,
      version: agentVersion,
      actor: 'boot',
      session: { type: 'rpc' },
    };
    socket.write(`${JSON.stringify(hello)}\n`);
    const { error } = serverHelloSchema.parse(JSON.parse(await readHelloLine(socket, HELLO_MS)));
    if (error !== undefined) throw new Error(error.message);
    const connection = createMessageConnection(new StreamMessageReader(socket), new StreamMessageWriter(socket));
    connection.onNotification(eventsNotification, ({ events }) => {
      for (const { event } of events) print(event);
    });
    // Not before there is a run: what could not even be asked for may be asked for again.
    let noted = Promise.resolve();
    connection.onNotification(startedNotification, () => {
      noted = system.writeFile(AUTOSTARTED_FLAG, '', 0o644).catch((error: unknown) => {
        process.stdout.write(`that it was asked for cannot be noted: ${messageOf(error)}\n`);
      });
    });
    connection.listen();
    const options = { dryRun: false, waitMs: 0 };
    const request = { operation: 'machine.autostart', input: {}, options };
    const result = await Promise.race([connection.sendRequest(runRequest, request), lost]);
    await noted;
    process.stdout.write(`the start of the marked repositories: ${result.outcome}\n`);
    connection.dispose();
  } catch (error) {
    process.stdout.write(`the marked repositories could not be started: ${String(error)}\n`);
  } finally {
    socket.destroy();
  }
  return 0;
}
