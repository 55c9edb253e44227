// The disk that tests of power cuts rely on: what it forgets, what it keeps, and that QEMU can use it.
import { once } from 'node:events';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { exec } from '../../src/cli/playground/exec.ts';
import { type NbdServer, serveNbd } from '../machine/nbd-server.ts';
import { VolatileDisk } from '../machine/volatile-disk.ts';
import { seeded } from './seeded.ts';

const SIZE = 64 * 1024 ** 2;
/** As seen from the directory, as QEMU sees it. */
const URI = 'nbd+unix:///?socket=disk.nbd';
const CACHED = { durable: false };
const FUA = { durable: true };

let directory: string;
let disk: VolatileDisk;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'rdc-disk-'));
  const medium = join(directory, 'medium');
  writeFileSync(medium, '');
  truncateSync(medium, SIZE);
  disk = new VolatileDisk(medium);
});
afterEach(() => {
  disk.close();
  rmSync(directory, { recursive: true });
});

const filled = (length: number, byte: number) => Buffer.alloc(length, byte);
/** Every byte of the range, once. */
const bytesAt = (offset: number, length = 4096) => [...new Set(disk.read(offset, length))];

describe('a power cut', () => {
  it('takes what was written and not flushed, and nothing else', () => {
    disk.write(0, filled(8192, 1), CACHED);
    disk.flush();
    disk.write(4096, filled(8192, 2), CACHED);
    expect([bytesAt(0), bytesAt(4096, 8192)]).toEqual([[1], [2]]);
    expect(disk.forget()).toEqual({ unflushed: 2, lost: 2 });
    expect([bytesAt(0, 8192), bytesAt(8192)]).toEqual([[1], [0]]);
    expect(disk.forget()).toEqual({ unflushed: 0, lost: 0 });
  });

  it('leaves a write that asked to be durable, with no help for its neighbours', () => {
    disk.write(0, filled(12_288, 1), CACHED);
    disk.write(4096, filled(4096, 2), FUA);
    expect([0, 4096, 8192].map((offset) => bytesAt(offset))).toEqual([[1], [2], [1]]);
    disk.forget();
    expect([0, 4096, 8192].map((offset) => bytesAt(offset))).toEqual([[0], [2], [0]]);
  });

  it('knows parts of sectors, across their borders', () => {
    disk.write(4000, filled(200, 1), CACHED);
    disk.flush();
    disk.write(4050, filled(100, 2), CACHED);
    expect([...disk.read(4000, 200)]).toEqual([...filled(50, 1), ...filled(100, 2), ...filled(50, 1)]);
    disk.forget();
    expect([bytesAt(4000, 200), bytesAt(3990, 10), bytesAt(4200, 10)]).toEqual([[1], [0], [0]]);
  });

  it('on a disk that lies about flushes takes all that was written since it lies', () => {
    disk.write(0, filled(4096, 1), FUA);
    disk.lies = true;
    disk.write(0, filled(4096, 2), FUA);
    disk.write(4096, filled(4096, 2), CACHED);
    disk.flush();
    expect(disk.forget()).toEqual({ unflushed: 2, lost: 2 });
    expect([bytesAt(0), bytesAt(4096)]).toEqual([[1], [0]]);
  });

  it('may spare a share of the sectors, each with any of its contents; the seed says which', () => {
    const after = (seed: number) => {
      disk.write(0, filled(SIZE / 64, 9), CACHED);
      disk.flush();
      for (const byte of [1, 2]) disk.write(0, filled(SIZE / 64, byte), CACHED);
      const cut = disk.forget(seeded(seed));
      const contents = Array.from({ length: SIZE / 64 / 4096 }, (_, sector) => bytesAt(sector * 4096));
      return { cut, contents: contents.flat() };
    };
    const ends = [1, 2, 3, 4].map(after);
    expect(after(3)).toEqual(ends[2]);
    expect(new Set(ends.map(({ cut }) => cut.lost)).size).toBe(4);
    for (const { cut, contents } of ends) {
      expect(contents).toHaveLength(cut.unflushed);
      expect(contents.filter((byte) => byte !== 2)).toHaveLength(cut.lost);
      expect(new Set(contents)).toEqual(new Set([1, 2, 9]));
    }
  });

  it('finds long runs and gaps on the medium again, each sector in its place', () => {
    const random = seeded(7);
    const wanted = new Map<number, number>();
    for (let i = 1; i <= 30; i += 1) {
      const [first, count] = [Math.floor(random() * 5000), 1 + Math.floor(random() * 1500)];
      disk.write(first * 4096, filled(count * 4096, i), CACHED);
      for (let sector = first; sector < first + count; sector += 1) wanted.set(sector, i);
    }
    disk.flush();
    disk.forget();
    const found = [...wanted.keys()].filter((sector) => disk.read(sector * 4096, 1)[0] !== wanted.get(sector));
    expect(found).toEqual([]);
  });
});

describe('over NBD', () => {
  let server: NbdServer;
  const socketPath = () => join(directory, 'disk.nbd');
  const qemuIo = (...commands: string[]) =>
    exec(['qemu-io', '-t', 'writeback', '-f', 'raw', URI, ...commands.flatMap((line) => ['-c', line])], {
      cwd: directory,
      allow: [1, 127, 134],
    });

  beforeEach(async () => {
    server = await serveNbd(socketPath(), disk);
  });
  afterEach(() => server.close());

  it('is a disk to QEMU, whose flushes arrive: what was not flushed is gone after a cut', async () => {
    const { stdout } = await exec(['qemu-img', 'info', '--output=json', URI], { cwd: directory });
    expect(JSON.parse(stdout)).toMatchObject({ 'virtual-size': SIZE, format: 'raw' });
    const lines = ['write -P 1 0 1M', 'flush', 'write -P 2 1M 1M', 'write -f -P 3 2M 1M', 'abort'];
    // It ends as a program that is killed; closing would flush.
    expect((await qemuIo(...lines)).exitCode).not.toBe(0);
    await server.disconnect();
    expect(disk.forget()).toEqual({ unflushed: 256, lost: 256 });
    expect([bytesAt(0, 1024 ** 2), bytesAt(1024 ** 2, 1024 ** 2), bytesAt(2 * 1024 ** 2)]).toEqual([[1], [0], [3]]);
    const read = await qemuIo('read -P 1 0 1M', 'read -P 0 1M 1M', 'read -P 3 2M 1M');
    expect(read).toMatchObject({ exitCode: 0, stdout: expect.not.stringContaining('failed') });
    // The control: a pattern that is not there is told.
    expect((await qemuIo('read -P 4 0 1M')).stdout).toContain('Pattern verification failed');
  });

  it('takes zeroes, discards, odd places and more than one request at a time', async () => {
    const { stdout, exitCode } = await qemuIo(
      ...['aio_write -P 1 0 24M', 'aio_write -P 2 24M 24M', 'aio_write -P 3 48M 16M', 'aio_flush'],
      ...['write -z 1M 1M', 'discard 3M 1M', 'write -P 5 4097 513', 'flush', 'write -P 6 8M 1M', 'aio_flush'],
      ...['read -P 0 1M 1M', 'read -P 0 3M 1M', 'read -P 1 0 4097', 'read -P 5 4097 513', 'read -P 3 48M 16M'],
    );
    expect([exitCode, stdout]).toEqual([0, expect.not.stringMatching(/failed|error/i)]);
  });

  it('answers an old client, refuses what it does not know, and what lies outside', async () => {
    const client = await oldClient(socketPath());
    expect(client).toMatchObject({ refusal: 0x80000001, size: BigInt(SIZE), flags: 0b1101101 });
    const requests = [
      [0, SIZE - 1, 2],
      [6, SIZE, 4096],
      [7, 0, 4096],
      [6, 0, 4096],
    ] as const;
    const outcomes: [string, number][] = [];
    for (const [command, offset, length] of requests) {
      client.send(command, offset, length);
      outcomes.push(await client.answer());
    }
    expect(outcomes).toEqual([22, 28, 22, 0].map((error) => ['cookie 8', error]));
    client.send(2, 0, 0);
    await once(client.socket, 'end');
    client.socket.destroy();
  });

  it('a request that came in and was not answered before the cut never happens', async () => {
    const client = await oldClient(socketPath());
    client.send(1, 0, 4096, filled(4096, 1));
    await client.answer();
    client.send(3, 0, 0);
    client.send(1, 4096, 4096, filled(4096, 2));
    await server.disconnect();
    expect(disk.forget()).toEqual({ unflushed: 1, lost: 1 });
    // Long enough for a server that still read from it.
    await client.closed;
    expect([bytesAt(0, 8192), disk.forget().unflushed]).toEqual([[0], 0]);
  });
});

/** A client of the protocol without NBD_OPT_GO, by hand; it asks for something unknown first. */
async function oldClient(socketPath: string) {
  const socket = connect(socketPath);
  // The cut of a test resets it.
  socket.on('error', () => undefined);
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  const take = async (length: number): Promise<Buffer> => {
    for (;;) {
      const data = socket.read(length) as Buffer | null;
      if (data !== null) return data;
      await once(socket, 'readable');
    }
  };
  const option = (kind: number) => socket.write(Buffer.from(`IHAVEOPT\0\0\0${String.fromCharCode(kind)}\0\0\0\0`));
  expect((await take(18)).toString('latin1')).toBe('NBDMAGICIHAVEOPT\0\x03');
  socket.write(Buffer.from([0, 0, 0, 1]));
  option(8);
  const refusal = (await take(20)).readUInt32BE(12);
  option(1);
  const head = await take(8 + 2 + 124);
  return {
    ...{ socket, closed, refusal, size: head.readBigUInt64BE(), flags: head.readUInt16BE(8) },
    send(command: number, offset: number, length: number, payload = Buffer.alloc(0)) {
      const request = Buffer.alloc(28);
      request.writeUInt32BE(0x25609513);
      request.writeUInt16BE(command, 6);
      request.write('cookie 8', 8);
      request.writeBigUInt64BE(BigInt(offset), 16);
      request.writeUInt32BE(length, 24);
      socket.write(Buffer.concat([request, payload]));
    },
    /** Cookie and error. */
    async answer(): Promise<[string, number]> {
      const reply = await take(16);
      return [reply.toString('latin1', 8), reply.readUInt32BE(4)];
    },
  };
}
