// A Redis client in a page: one connection, commands in order, replies by the RESP2 protocol
// (https://redis.io/docs/latest/develop/reference/protocol-spec/). It connects when first used and again after a loss.
import { connect } from 'node:net';

/** `url`: redis://[:password@]host[:port][/database]. Answers with a function that sends one command. */
export function createRedis(url) {
  const { hostname, port, username, password, pathname } = new URL(url);
  const database = pathname.slice(1);
  let link;

  function open() {
    const socket = connect({ host: hostname, port: Number(port || 6379) });
    const waiting = [];
    let received = Buffer.alloc(0);
    const close = (error) => {
      if (link?.socket === socket) link = undefined;
      socket.destroy();
      for (const { reject } of waiting.splice(0)) reject(error);
    };
    socket.on('error', close);
    socket.on('close', () => close(new Error('redis closed the connection')));
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      for (let reply = readReply(received); reply; reply = readReply(received)) {
        received = received.subarray(reply.end);
        const { resolve, reject } = waiting.shift();
        if (reply.value instanceof Error) reject(reply.value);
        else resolve(reply.value);
      }
    });
    const send = (words) =>
      new Promise((resolve, reject) => {
        waiting.push({ resolve, reject });
        socket.write(encode(words));
      });
    // Commands queue behind these; if one is refused, so is what follows.
    if (password) send(['AUTH', ...(username ? [username] : []), decodeURIComponent(password)]).catch(close);
    if (database) send(['SELECT', database]).catch(close);
    return { socket, send };
  }

  return {
    command(...words) {
      link ??= open();
      return link.send(words);
    },
    close() {
      link?.socket.end();
    },
  };
}

function encode(words) {
  return `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`;
}

/** The first whole reply in `bytes` and where it ends; undefined while more must arrive. */
export function readReply(bytes) {
  const lineEnd = bytes.indexOf('\r\n');
  if (lineEnd < 0) return undefined;
  const line = bytes.toString('utf8', 1, lineEnd);
  const end = lineEnd + 2;
  switch (String.fromCharCode(bytes[0])) {
    case '+':
      return { value: line, end };
    case '-':
      return { value: new Error(`redis: ${line}`), end };
    case ':':
      return { value: Number(line), end };
    case '$': {
      const length = Number(line);
      if (length < 0) return { value: null, end };
      if (bytes.length < end + length + 2) return undefined;
      return { value: bytes.toString('utf8', end, end + length), end: end + length + 2 };
    }
    default:
      return { value: new Error(`redis: unexpected reply "${line}"`), end };
  }
}
