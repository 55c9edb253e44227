// A docker daemon's API as far as the supervisor asks it, on a real socket: containers are plain values that the test
// changes, and every change of health is told to who follows the events.
import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';

export interface FakeContainer {
  name: string;
  status: 'running' | 'exited';
  health?: 'starting' | 'healthy' | 'unhealthy';
  words?: string;
  /** Of the last health check; -1: docker could not make it. */
  checkExitCode?: number;
  /** When docker began it, milliseconds since the epoch. */
  checkedAt?: number;
  exitCode?: number;
  finishedAt?: number;
  policy?: string;
  labels?: Record<string, string>;
  /** The name of one without which it does not start. */
  needs?: string;
}

export class FakeDocker {
  readonly containers = new Map<string, FakeContainer>();
  /** "restart NAME" and "start NAME", in order. */
  readonly done: string[] = [];
  /** How often it was asked whether it gets through to a container. */
  reachAsked = 0;
  /** What becomes of the next request to restart or start a container: its connection breaks, as when the daemon is killed; or 500. */
  refusal: 'break' | 'error' | undefined;
  refused = 0;
  /** The daemon runs without its containerd, which is dead, or hangs. */
  isCutOff: boolean | 'hangs' = false;
  /** What a restart makes of a container. */
  afterRestart: FakeContainer['health'] = 'healthy';
  readonly #followers = new Set<ServerResponse>();
  #isFollowed = false;
  #server: Server | undefined;
  #waiting: (() => void)[] = [];

  add(container: FakeContainer): string {
    const id = String(this.containers.size + 1).padStart(64, '0');
    this.containers.set(id, container);
    return id;
  }

  async start(socketPath: string): Promise<void> {
    const server = createServer((request, response) => {
      const url = new URL(request.url ?? '/', 'http://docker');
      if (url.pathname === '/events') this.#follow(response);
      else this.#answer(url, response);
    });
    this.#server = server;
    server.listen(socketPath);
    await once(server, 'listening');
  }

  /** kill -9: connections break. */
  async die(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  }

  /** Resolves when somebody listens for events, and knows what was unhealthy before. */
  async followed(): Promise<void> {
    if (!this.#isFollowed) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  setHealth(id: string, health: NonNullable<FakeContainer['health']>): void {
    const container = this.containers.get(id);
    if (container === undefined) throw new Error('no such container');
    container.health = health;
    const event = { Type: 'container', Action: `health_status: ${health}`, Actor: { ID: id, Attributes: {} } };
    for (const follower of this.#followers) follower.write(`${JSON.stringify(event)}\n`);
  }

  /** Without a word to who follows. */
  change(id: string, changes: Partial<FakeContainer>): void {
    Object.assign(this.containers.get(id) ?? {}, changes);
  }

  #follow(response: ServerResponse): void {
    response.writeHead(200, { 'Content-Type': 'application/json' }).flushHeaders();
    this.#followers.add(response);
    response.once('close', () => {
      this.#followers.delete(response);
      this.#isFollowed = false;
    });
  }

  #hasWhatItNeeds({ needs }: FakeContainer): boolean {
    const running = [...this.containers.values()].filter(({ status }) => status === 'running');
    return needs === undefined || running.some(({ name }) => name === needs);
  }

  #answer(url: URL, response: ServerResponse): void {
    const [, id = '', verb] = /^\/containers\/([0-9a-f]{64})\/(\w+)$/.exec(url.pathname) ?? [];
    const container = this.containers.get(id);
    if (url.pathname === '/containers/json') {
      const { health, status } = JSON.parse(url.searchParams.get('filters') ?? '{}') as Record<string, string[]>;
      const wanted = [...this.containers].filter(
        ([, one]) => (health?.includes(one.health ?? '') ?? true) && (status?.includes(one.status) ?? true),
      );
      // As docker: the newest first.
      response.end(JSON.stringify(wanted.toReversed().map(([Id]) => ({ Id }))));
      if (health === undefined) return;
      this.#isFollowed = this.#followers.size > 0;
      for (const resolve of this.#waiting.splice(0)) resolve();
    } else if (container === undefined) {
      response.writeHead(404).end(JSON.stringify({ message: `No such container: ${id}` }));
    } else if (verb === 'json') {
      response.end(JSON.stringify(inspection(id, container)));
    } else if (verb === 'stats') {
      this.reachAsked += 1;
      if (this.isCutOff === 'hangs') return;
      response.end(JSON.stringify(this.isCutOff ? { message: 'connection error: unavailable' } : { read: '' }));
    } else if (this.refusal === 'break') {
      this.refused += 1;
      this.refusal = undefined;
      response.destroy();
    } else if (this.refusal === 'error' || !this.#hasWhatItNeeds(container)) {
      this.refused += 1;
      this.refusal = undefined;
      response.writeHead(500).end(JSON.stringify({ message: 'out of cheese' }));
    } else {
      this.done.push(`${verb} ${container.name}`);
      container.status = 'running';
      response.writeHead(204).end();
      if (verb === 'restart' && this.afterRestart !== undefined) this.setHealth(id, this.afterRestart);
    }
  }
}

function inspection(Id: string, { name, status, health, words = '', ...more }: FakeContainer) {
  const { checkExitCode = 1, checkedAt = 0, ...rest } = more;
  const { exitCode = 0, finishedAt = 0, policy = 'no', labels = {} } = rest;
  const Log = [{ Start: new Date(checkedAt).toISOString(), ExitCode: checkExitCode, Output: words }];
  return {
    Id,
    Name: `/${name}`,
    State: {
      Status: status,
      ExitCode: exitCode,
      FinishedAt: new Date(finishedAt).toISOString(),
      ...(health === undefined ? {} : { Health: { Status: health, Log } }),
    },
    HostConfig: { RestartPolicy: { Name: policy } },
    Config: { Labels: labels },
  };
}
