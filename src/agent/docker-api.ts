// The Engine API of a repository's own daemon over its socket: for what goes on for days, where a docker CLI per
// repository would cost 20 MB each. Version-less paths: any daemon answers them with its newest (docs.docker.com/reference/api/engine).
import { type IncomingMessage, type RequestOptions, request } from 'node:http';
import { RdcError } from '../protocol/errors.ts';

/** A container list of a large application has some hundred kilobytes. */
const LARGEST_ANSWER = 16 * 1024 ** 2;
/** An event is below a kilobyte, but carries all labels of its container. */
const LONGEST_EVENT = 1024 ** 2;
const ANSWER_MS = 30_000;

export interface DockerCall {
  method: 'GET' | 'POST';
  path: string;
  /** Milliseconds until it is given up; 30 000. */
  timeoutMs?: number;
  signal?: AbortSignal;
}

/** The body as JSON, undefined where there is none. Throws FAILED with docker's own message. */
export async function callDocker(socketPath: string, call: DockerCall): Promise<unknown> {
  const { timeoutMs = ANSWER_MS, signal, method, path } = call;
  const limits = [AbortSignal.timeout(timeoutMs), ...(signal === undefined ? [] : [signal])];
  const answer = await send({ socketPath, method, path, signal: AbortSignal.any(limits) });
  let text = '';
  for await (const chunk of answer.setEncoding('utf8') as AsyncIterable<string>) {
    text += chunk;
    if (text.length > LARGEST_ANSWER) throw new RdcError('FAILED', 'the docker daemon answers without end');
  }
  const status = answer.statusCode ?? 0;
  if (status >= 400) throw new RdcError('FAILED', `the docker daemon refuses: ${messageOf(text) ?? status}`);
  return text === '' ? undefined : JSON.parse(text);
}

/** Calls `onEvent` with each event, until the daemon ends, the connection breaks or the signal is aborted: then it resolves. */
export async function followDocker(
  socketPath: string,
  filters: Readonly<Record<string, readonly string[]>>,
  { onOpen, onEvent, signal }: { onOpen(): void; onEvent(event: unknown): void; signal: AbortSignal },
): Promise<void> {
  const query = new URLSearchParams({ filters: JSON.stringify(filters) }).toString();
  try {
    const answer = await send({ socketPath, method: 'GET', path: `/events?${query}`, signal });
    if (answer.statusCode !== 200) {
      answer.destroy();
      return;
    }
    onOpen();
    let rest = '';
    for await (const chunk of answer.setEncoding('utf8') as AsyncIterable<string>) {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      if (rest.length > LONGEST_EVENT) return;
      for (const line of lines) if (line.trim() !== '') onEvent(JSON.parse(line));
    }
  } catch (error) {
    // A daemon that is killed breaks the connection; that it is gone is what was to be known.
    if (!(error instanceof Error)) throw error;
  }
}

function send(options: RequestOptions): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    // A connection of its own: none is kept open after an answer.
    const sent = request({ ...options, agent: false, headers: { Host: 'docker' } }, resolve);
    sent.once('error', reject);
    sent.end();
  });
}

function messageOf(text: string): string | undefined {
  try {
    const { message } = JSON.parse(text) as { message?: unknown };
    return typeof message === 'string' ? message : undefined;
  } catch {
    return undefined;
  }
}
