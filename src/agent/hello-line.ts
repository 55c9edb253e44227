// The client's first line, bounded in size and time; what follows it stays in the stream.
import type { Duplex } from 'node:stream';
import { RdcError } from '../protocol/errors.ts';

/** A hello is a few hundred bytes, an rsync command line at most some kilobytes. */
const LONGEST_HELLO = 64 * 1024;
const NEWLINE = 0x0a;

/** Throws INVALID_INPUT when no line comes, or one that is too long. */
export function readHelloLine(socket: Duplex, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    let head = Buffer.alloc(0);
    const finish = (settle: () => void) => {
      clearTimeout(timer);
      socket.off('readable', onReadable);
      socket.off('end', onEnd);
      socket.off('close', onEnd);
      settle();
    };
    const refuse = (why: string) => finish(() => reject(new RdcError('INVALID_INPUT', why)));
    const timer = setTimeout(() => refuse('no hello came'), timeoutMs);
    const onEnd = () => refuse('the connection ended before the hello');
    const onReadable = () => {
      for (let chunk = socket.read() as Buffer | null; chunk !== null; chunk = socket.read() as Buffer | null) {
        head = Buffer.concat([head, chunk]);
        const end = head.indexOf(NEWLINE);
        if (end >= 0) {
          const line = head.subarray(0, end).toString('utf8');
          if (end + 1 < head.length) socket.unshift(head.subarray(end + 1));
          return finish(() => resolve(line));
        }
        if (head.length > LONGEST_HELLO) return refuse('the hello is too long');
      }
    };
    socket.on('readable', onReadable);
    socket.once('end', onEnd);
    socket.once('close', onEnd);
  });
}
