// A block device served on a unix socket, as QEMU opens one: the NBD protocol, fixed newstyle handshake and simple replies
// (https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md). One export, the one without a name.
// Requests of a connection are answered one after the other: what has been answered has happened, in that order.
import { createServer, type Socket } from 'node:net';

/** Offsets and lengths are in bytes and inside of the device. */
export interface BlockDevice {
  readonly sizeBytes: number;
  read(offset: number, length: number): Buffer;
  /** `durable`: before this returns, whatever a flush would have to do for these bytes is done (FUA). */
  write(offset: number, data: Buffer, options: { durable: boolean }): void;
  /** Whatever was written is durable when this returns. */
  flush(): void;
}

export interface NbdServer {
  /** Ends all connections; what has come in and is not answered never happens. */
  disconnect(): Promise<void>;
  /** The same for good. */
  close(): Promise<void>;
}

const MAGIC = { greeting: 0x4e42444d41474943n, option: 0x49484156454f5054n, optionReply: 0x0003e889045565a9n };
const REQUEST_MAGIC = 0x25609513;
const REPLY_MAGIC = 0x67446698;
/** Of the server's greeting and of the client's answer: fixed newstyle, and no padding after NBD_OPT_EXPORT_NAME. */
const HANDSHAKE = { fixedNewstyle: 1, noZeroes: 2 } as const;
const OPTION = { exportName: 1, abort: 2, info: 6, go: 7 } as const;
const REPLY = { ack: 1, info: 3, unsupported: 0x80000001, invalid: 0x80000003, unknown: 0x80000006 } as const;
const INFO = { export: 0, blockSize: 3 } as const;
/** NBD_FLAG_HAS_FLAGS, SEND_FLUSH, SEND_FUA, SEND_TRIM, SEND_WRITE_ZEROES. */
const TRANSMISSION_FLAGS = 0b1101101;
const COMMAND = { read: 0, write: 1, disconnect: 2, flush: 3, trim: 4, writeZeroes: 6 } as const;
const FUA = 1;
const ERROR = { none: 0, invalid: 22, noSpace: 28 } as const;
const MAX_OPTION_BYTES = 65_536;
const MAX_PAYLOAD_BYTES = 32 * 1024 ** 2;

export async function serveNbd(socketPath: string, device: BlockDevice): Promise<NbdServer> {
  const connections = new Map<Socket, Promise<void>>();
  const server = createServer((socket) => {
    const served = serve(socket, device).finally(() => {
      socket.destroy();
      connections.delete(socket);
    });
    connections.set(socket, served);
  });
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(socketPath, resolve));
  const disconnect = async () => {
    for (const socket of connections.keys()) socket.destroy();
    await Promise.all(connections.values());
  };
  return {
    disconnect,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      await disconnect();
      await closed;
    },
  };
}

/** The other end is gone, or does not speak the protocol. */
class Disconnected extends Error {}

async function serve(socket: Socket, device: BlockDevice): Promise<void> {
  const incoming = new Incoming(socket);
  try {
    if (await negotiate(incoming, socket, device)) await transmit(incoming, socket, device);
  } catch (error) {
    if (!(error instanceof Disconnected)) throw error;
  }
}

/** What arrives, in pieces of the length that is asked for. */
class Incoming {
  readonly #socket: Socket;
  #changed: () => void = () => undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    for (const event of ['readable', 'end', 'close'] as const) socket.on(event, () => this.#changed());
    // The loss of a connection is told by "close".
    socket.on('error', () => undefined);
  }

  async take(length: number): Promise<Buffer> {
    if (length === 0) return Buffer.alloc(0);
    for (;;) {
      if (this.#socket.destroyed) throw new Disconnected();
      const data = this.#socket.read(length) as Buffer | null;
      if (data?.length === length) return data;
      if (data !== null || this.#socket.readableEnded) throw new Disconnected();
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
  }
}

/** True once the client wants the device. */
async function negotiate(incoming: Incoming, socket: Socket, device: BlockDevice): Promise<boolean> {
  const offered = HANDSHAKE.fixedNewstyle | HANDSHAKE.noZeroes;
  socket.write(Buffer.concat([u64(MAGIC.greeting), u64(MAGIC.option), u16(offered)]));
  const clientFlags = (await incoming.take(4)).readUInt32BE();
  for (;;) {
    const head = await incoming.take(16);
    const [option, length] = [head.readUInt32BE(8), head.readUInt32BE(12)];
    if (head.readBigUInt64BE() !== MAGIC.option || length > MAX_OPTION_BYTES) return false;
    const data = await incoming.take(length);
    const reply = (type: number, content = Buffer.alloc(0)) =>
      socket.write(Buffer.concat([u64(MAGIC.optionReply), u32(option), u32(type), u32(content.length), content]));
    const size = u64(BigInt(device.sizeBytes));
    if (option === OPTION.exportName) {
      // The protocol has no refusal here but the end of the connection.
      if (length > 0) return false;
      const padding = Buffer.alloc((clientFlags & HANDSHAKE.noZeroes) === 0 ? 124 : 0);
      socket.write(Buffer.concat([size, u16(TRANSMISSION_FLAGS), padding]));
      return true;
    }
    if (option === OPTION.go || option === OPTION.info) {
      // Length of the name, the name, and which information is wanted: all there is to tell is told.
      if (length < 6) reply(REPLY.invalid);
      else if (data.readUInt32BE() > 0) reply(REPLY.unknown);
      else {
        reply(REPLY.info, Buffer.concat([u16(INFO.export), size, u16(TRANSMISSION_FLAGS)]));
        reply(REPLY.info, Buffer.concat([u16(INFO.blockSize), u32(1), u32(4096), u32(MAX_PAYLOAD_BYTES)]));
        reply(REPLY.ack);
        if (option === OPTION.go) return true;
      }
    } else if (option === OPTION.abort) {
      reply(REPLY.ack);
      return false;
    } else reply(REPLY.unsupported);
  }
}

interface Request {
  flags: number;
  command: number;
  offset: number;
  length: number;
  payload: Buffer;
}

async function transmit(incoming: Incoming, socket: Socket, device: BlockDevice): Promise<void> {
  for (;;) {
    const head = await incoming.take(28);
    const command = head.readUInt16BE(6);
    const length = head.readUInt32BE(24);
    if (head.readUInt32BE() !== REQUEST_MAGIC || command === COMMAND.disconnect) return;
    // Too long to be read away: the protocol allows to hang up.
    if (command === COMMAND.write && length > MAX_PAYLOAD_BYTES) return;
    const payload = await incoming.take(command === COMMAND.write ? length : 0);
    const offset = Number(head.readBigUInt64BE(16));
    const { error, data } = carryOut(device, { flags: head.readUInt16BE(4), command, offset, length, payload });
    socket.write(Buffer.concat([u32(REPLY_MAGIC), u32(error), head.subarray(8, 16), data]));
  }
}

function carryOut(device: BlockDevice, request: Request): { error: number; data: Buffer } {
  const { command, offset, length, payload } = request;
  const answer = (error: number, data: Buffer = Buffer.alloc(0)) => ({ error, data });
  const durable = (request.flags & FUA) !== 0;
  const changes = command === COMMAND.write || command === COMMAND.trim || command === COMMAND.writeZeroes;
  if (command === COMMAND.flush) {
    device.flush();
    return answer(ERROR.none);
  }
  if (offset + length > device.sizeBytes) return answer(changes ? ERROR.noSpace : ERROR.invalid);
  if (command === COMMAND.read && length <= MAX_PAYLOAD_BYTES) return answer(ERROR.none, device.read(offset, length));
  if (!changes) return answer(ERROR.invalid);
  if (command === COMMAND.write) device.write(offset, payload, { durable });
  // What was trimmed reads as zeroes, and like every write is lost or kept.
  else zero(device, offset, length, durable);
  return answer(ERROR.none);
}

/** In pieces: a request may be as long as the device. */
function zero(device: BlockDevice, offset: number, length: number, durable: boolean): void {
  const zeroes = Buffer.alloc(Math.min(length, 1024 ** 2));
  for (let done = 0; done < length; done += zeroes.length) {
    device.write(offset + done, zeroes.subarray(0, length - done), { durable });
  }
}

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function u64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
}
