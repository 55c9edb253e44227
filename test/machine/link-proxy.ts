// A link that a test can hurt: everything between rdc and the machine's sshd goes through here.
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

interface Pair {
  client: Socket;
  server: Socket;
}

export interface LinkProxy {
  port: number;
  /** Connections taken so far. */
  taken(): number;
  /** Bytes from rdc over all connections since the last call of `limit`. */
  sent(): number;
  /** From now on: once rdc has sent that many bytes, its connections break. */
  limit(bytes: number): void;
  /** Both ends of every connection are told, as when a router forgets them. */
  cut(): void;
  /** true: nothing passes any more, and nobody is told. */
  hold(on: boolean): void;
  /** Where the next connections lead. */
  lead(to: { host: string; port: number }): void;
  close(): Promise<void>;
}

export async function openLinkProxy(to: { host: string; port: number }): Promise<LinkProxy> {
  const pairs = new Set<Pair>();
  const sockets = new Set<Socket>();
  let target = to;
  let taken = 0;
  let sent = 0;
  let most = Number.POSITIVE_INFINITY;
  let held = false;
  const cut = () => {
    for (const { client, server } of pairs) for (const end of [client, server]) end.destroy();
    pairs.clear();
  };
  const listener = createServer((client) => {
    taken += 1;
    const pair: Pair = { client, server: connect(target) };
    pairs.add(pair);
    const { server } = pair;
    for (const end of [client, server]) sockets.add(end);
    client.on('data', (chunk) => {
      sent += chunk.length;
      server.write(chunk);
      // What has been sent so far still arrives.
      if (sent >= most) server.end(() => cut());
    });
    server.on('data', (chunk) => client.write(chunk));
    for (const [from, into] of [
      [client, server],
      [server, client],
    ] as const) {
      from.on('error', () => undefined);
      from.once('end', () => into.end());
      from.once('close', () => {
        into.destroy();
        pairs.delete(pair);
      });
      if (held) from.pause();
    }
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  return {
    port: (listener.address() as AddressInfo).port,
    taken: () => taken,
    sent: () => sent,
    limit(bytes) {
      sent = 0;
      most = bytes;
    },
    cut,
    hold(on) {
      held = on;
      for (const { client, server } of pairs) for (const end of [client, server]) on ? end.pause() : end.resume();
    },
    lead(next) {
      target = next;
    },
    async close() {
      // A connection that has lost one end is no pair any more, and a server closes when the last one has.
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => listener.close(resolve));
    },
  };
}
