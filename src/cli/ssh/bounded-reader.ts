// JSON-RPC from an agent, with an end to what one message may take: the library keeps whatever is announced until it is whole.
import { type DataCallback, type Disposable, StreamMessageReader } from 'vscode-jsonrpc/node.js';
import type { SshSession } from './transport.ts';

/** The largest that is honest, a list of a thousand runs or the plan of a large repository, is far below 1 MiB. */
const MOST_BYTES = 16 * 1024 ** 2;

/** Closes the session where more has come than belongs to one message. */
export class BoundedReader extends StreamMessageReader {
  #bytes = 0;

  constructor(session: SshSession) {
    super(session.stdout);
    session.stdout.on('data', (chunk: Buffer) => {
      this.#bytes += chunk.length;
      if (this.#bytes > MOST_BYTES) session.close();
    });
  }

  override listen(callback: DataCallback): Disposable {
    return super.listen((message) => {
      this.#bytes = 0;
      callback(message);
    });
  }
}
