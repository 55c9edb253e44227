// A PostgreSQL client in a page: one connection, queries one after the other, values as parameters
// (https://www.postgresql.org/docs/current/protocol.html). It connects when first used and again after a loss.
import { connect } from 'node:net';
import { createScram } from './scram.js';

const PROTOCOL_3_0 = 196608;

/** `url`: postgresql://user:password@host[:port]/database. Rows come back as objects of strings. */
export function createPostgres(url) {
  let link;
  let last = Promise.resolve();

  async function run(sql, values) {
    link ??= await openLink(url, () => {
      link = undefined;
    });
    return link.query(sql, values);
  }

  return {
    /** `values` fill $1, $2, … */
    query(sql, values = []) {
      const result = last.then(() => run(sql, values));
      last = result.catch(() => undefined);
      return result;
    },
    close() {
      link?.close();
    },
  };
}

async function openLink(url, onClose) {
  const { hostname, port, username, password, pathname } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port || 5432) });
  const nextMessage = readMessages(socket);
  socket.on('close', onClose);
  try {
    const user = decodeURIComponent(username);
    const settings = `user\0${user}\0database\0${decodeURIComponent(pathname.slice(1) || username)}\0\0`;
    socket.write(withLength(Buffer.concat([int32(PROTOCOL_3_0), Buffer.from(settings)])));
    await logIn(socket, nextMessage, decodeURIComponent(password));
  } catch (error) {
    socket.destroy();
    throw error;
  }
  return {
    query: (sql, values) => query(socket, nextMessage, sql, values),
    close: () => socket.end(message('X')),
  };
}

/** Until the server is ready for queries. */
async function logIn(socket, nextMessage, password) {
  let scram;
  for (;;) {
    const { type, body } = await nextMessage();
    if (type === 'E') throw readError(body);
    if (type === 'Z') return;
    if (type !== 'R') continue;
    const kind = body.readInt32BE(0);
    const text = body.toString('utf8', 4);
    if (kind === 10) {
      if (!text.split('\0').includes('SCRAM-SHA-256')) throw new Error(`postgres offers only ${text}`);
      scram = createScram(password);
      const first = Buffer.from(scram.first);
      socket.write(message('p', Buffer.from('SCRAM-SHA-256\0'), int32(first.length), first));
    } else if (kind === 11) socket.write(message('p', Buffer.from(scram.answer(text))));
    else if (kind === 12) scram.verify(text);
    else if (kind !== 0) throw new Error(`postgres wants a login of kind ${kind}, which this client does not know`);
  }
}

/** The extended query protocol: parse, bind, describe, execute, sync, with every value as text. */
async function query(socket, nextMessage, sql, values) {
  const parameters = values.map((value) => {
    const bytes = Buffer.from(String(value));
    return Buffer.concat([int32(bytes.length), bytes]);
  });
  const count = Buffer.alloc(2);
  count.writeInt16BE(values.length);
  socket.write(
    Buffer.concat([
      message('P', Buffer.from(`\0${sql}\0\0\0`)),
      message('B', Buffer.from('\0\0\0\0'), count, ...parameters, Buffer.from('\0\0')),
      message('D', Buffer.from('P\0')),
      message('E', Buffer.from('\0\0\0\0\0')),
      message('S'),
    ]),
  );
  const rows = [];
  let names = [];
  let failure;
  for (;;) {
    const { type, body } = await nextMessage();
    if (type === 'T') names = readNames(body);
    else if (type === 'D') rows.push(readRow(body, names));
    else if (type === 'E') failure = readError(body);
    else if (type === 'Z') break;
  }
  if (failure) throw failure;
  return rows;
}

function readNames(body) {
  const names = [];
  for (let at = 2; at < body.length; ) {
    const end = body.indexOf(0, at);
    names.push(body.toString('utf8', at, end));
    at = end + 19;
  }
  return names;
}

function readRow(body, names) {
  let at = 2;
  const row = {};
  for (const name of names) {
    const length = body.readInt32BE(at);
    at += 4;
    row[name] = length < 0 ? null : body.toString('utf8', at, at + length);
    at += Math.max(length, 0);
  }
  return row;
}

function readError(body) {
  const fields = body.toString('utf8').split('\0');
  const field = (letter) => fields.find((text) => text.startsWith(letter))?.slice(1);
  return Object.assign(new Error(`postgres: ${field('M')}`), { code: field('C') });
}

/**
 * Answers with a function that waits for the next message: a letter, a length that counts itself, and a body.
 * It reads also while nobody waits, so that a lost connection is noticed before the next query.
 */
function readMessages(socket) {
  const arrived = [];
  let received = Buffer.alloc(0);
  let failure;
  let wake;
  socket.on('data', (chunk) => {
    received = Buffer.concat([received, chunk]);
    while (received.length >= 5 && received.length > received.readInt32BE(1)) {
      const end = 1 + received.readInt32BE(1);
      arrived.push({ type: String.fromCharCode(received[0]), body: received.subarray(5, end) });
      received = received.subarray(end);
    }
    wake?.();
  });
  socket.on('error', (error) => {
    failure = error;
  });
  socket.on('close', () => {
    failure ??= new Error('postgres closed the connection');
    wake?.();
  });
  return async () => {
    while (arrived.length === 0) {
      if (failure) throw failure;
      await new Promise((resolve) => {
        wake = resolve;
      });
    }
    return arrived.shift();
  };
}

function message(type, ...parts) {
  return Buffer.concat([Buffer.from(type), withLength(Buffer.concat(parts))]);
}

function withLength(body) {
  return Buffer.concat([int32(body.length + 4), body]);
}

function int32(number) {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(number);
  return bytes;
}
