// A model of one machine with the agent's contract on top: it keeps repositories and what opens them, and answers as the
// agent would. Tests look at its state and at what a person sees, never at how often something was called.
import type { Finished, RunContext } from '../../src/agent/handlers.ts';
import { createAllHandlers } from '../../src/agent/repo-all.ts';
import type { AgentClient, Follower, TypedRunResult } from '../../src/cli/agent-client.ts';
import { RdcError, toWireError } from '../../src/protocol/errors.ts';
import type { RunEvent } from '../../src/protocol/events.ts';
import type { Guid, RepoName, RunId } from '../../src/protocol/ids.ts';
import type { LeftoverKind } from '../../src/protocol/leftovers.ts';
import {
  OPERATIONS,
  type OperationName,
  type OutputOf,
  type QueryOperation,
  type RepoSummary,
  type RequestOf,
  type RunOperation,
  type RunOptions,
  type RunResult,
} from '../../src/protocol/operations.ts';
import { revealForWire, Secret } from '../../src/protocol/secret.ts';
import { levelOf } from '../../src/protocol/space.ts';
import { DEFAULT_SUPERVISION } from '../../src/protocol/supervision.ts';

export interface FakeRepo {
  name: RepoName;
  guid: Guid;
  networkId: number;
  state: RepoSummary['state'];
  sizeBytes: number;
  preallocated?: boolean;
  /** What opens it: slot 0, and during a rotation another one. */
  keys: string[];
  autostart?: boolean;
  /** Its header opens nothing any more. */
  damaged?: boolean;
  /** How full it is, while it is open. */
  usedPercent?: number;
  /** Its reserve was given up. */
  isRescued?: boolean;
  attention?: RepoSummary['attention'];
  lastUp?: OutputOf<'repo.status'>['lastUp'];
  parent?: Guid;
  limits: { memoryBytes: number | null; cpus: number | null };
}

type Input = Record<string, unknown>;

export class FakeMachine {
  setUp = true;
  /** Of its datastore. */
  usedPercent = 50;
  fit = true;
  readonly repos: FakeRepo[] = [];
  /** Functions that fail in `up` and `down` without stopping the pass. */
  failing: string[] = [];
  /** There is no Rediaccfile in any repository. */
  isBare = false;
  /** What `validate` finds. */
  findings: OutputOf<'repo.validate'>['findings'] = [];
  /** How the start at boot went, of every repository that is marked for it. */
  lastBoot: OutputOf<'repo.autostart-list'>['repositories'][number]['lastBoot'];
  /** What `machine doctor` finds. */
  findingsOfDoctor: OutputOf<'machine.doctor'>['checks'] = [];
  /** Who holds the volume of whatever is unmounted. */
  holders: string[] = [];
  /** What `machine prune` removes, and of it what resists. */
  leftovers: { kind: LeftoverKind; what: string; because: string; resists?: boolean }[] = [];
  /** What `machine status` tells of the supervisor. */
  supervision: OutputOf<'machine.status'>['supervision'] = { ...DEFAULT_SUPERVISION, events: [] };
  /** Services that are gone and keep their slot. */
  vanished: string[] = [];
  /** What a request that is about to be answered does first: throw, or never come back. */
  before: (operation: OperationName, input: Input) => void | Promise<void> = () => undefined;
  /** After the work of a run and before its answer. */
  after: (operation: OperationName) => void | Promise<void> = () => undefined;
  readonly runs = new Map<RunId, { operation: string; events: RunEvent[]; result: RunResult }>();
  #nextRun = 1;
  #nextNetworkId = 2816;
  settings: Input = {};

  add(name: string, key: string, state: FakeRepo['state'] = 'closed'): FakeRepo {
    const guid = `00000000-0000-4000-8000-${String(this.repos.length + 1).padStart(12, '0')}` as Guid;
    const repo = this.#make({ name, guid, sizeBytes: 1024 ** 3, credential: key });
    repo.state = state;
    return repo;
  }

  /** Whether it can be reached. */
  away = false;

  /** The link drops, and the machine stays away. */
  readonly cutOff = (): never => {
    this.away = true;
    throw new RdcError('CONNECTION_LOST', 'lost');
  };

  back(): void {
    this.away = false;
    this.after = () => undefined;
  }

  connect(): AgentClient {
    if (this.away) throw new RdcError('UNREACHABLE', 'the machine cannot be reached');
    return new FakeClient(this);
  }

  async answer(operation: QueryOperation, input: Input): Promise<unknown> {
    await this.before(operation, input);
    switch (operation) {
      case 'machine.preflight': {
        const status = this.fit ? 'ok' : 'failed';
        return {
          checks: [{ id: 'kernel', title: 'kernel', status, found: '6.12.1', fix: 'install a newer one' }],
          fit: this.fit,
        };
      }
      case 'machine.status':
        return {
          ...{ hostname: 'server', os: 'Debian GNU/Linux 13', kernel: '6.12.1', uptimeSeconds: 3700 },
          agent: { version: '0.1.0', pid: 42, residentBytes: 60 * 1024 ** 2, node: '20.19.0', startedAt: 0 },
          datastore: {
            path: '/mnt/rediacc',
            filesystem: 'ext4',
            ...spaceUsed(this.usedPercent),
            reserveBytes: 256 * 1024 ** 2,
          },
          ...{ registryMirrors: [], repositories: this.repos.map(summary) },
          supervision: this.supervision,
        };
      case 'repo.list':
        return { repositories: this.repos.map(summary) };
      case 'repo.status':
        return {
          ...status(this.find(input.repo)),
          datastore: { path: '/mnt/rediacc', ...spaceUsed(this.usedPercent) },
        };
      case 'repo.validate': {
        const { name, guid } = this.find(input.repo);
        return { name, guid, findings: this.findings, services: ['api'], vanished: this.vanished };
      }
      case 'repo.autostart-list':
        return {
          repositories: this.repos.map(({ name, guid, state, autostart = false }) => ({
            ...{ name, guid, state, enabled: autostart },
            ...(this.lastBoot === undefined || !autostart ? {} : { lastBoot: this.lastBoot }),
          })),
        };
      case 'repo.limits': {
        const { name, guid, limits } = this.find(input.repo);
        return { name, guid, ...limits, memoryUsedBytes: null };
      }
      case 'machine.doctor':
        return { checks: this.findingsOfDoctor };
      case 'repo.verify-credential': {
        const { name, guid, keys } = this.find(input.repo);
        return { name, guid, opens: keys.includes(String(input.credential)) };
      }
      case 'run.list':
        return {
          runs: [...this.runs].map(([run, { operation: what, result }]) => ({
            run,
            operation: what,
            actor: 'anna@desk',
            startedAt: 1_700_000_000_000,
            endedAt: 1_700_000_004_200,
            outcome: result.outcome,
          })),
        };
    }
  }

  async start(
    operation: RunOperation,
    input: Input,
    options: Partial<RunOptions>,
    follower: Follower,
  ): Promise<RunResult> {
    await this.before(operation, input);
    if (input.repo !== undefined) this.find(input.repo);
    const run = `0123456789ab-${String(this.#nextRun++).padStart(8, '0')}` as RunId;
    follower.onStarted?.(run);
    const events: RunEvent[] = [];
    const report = (event: RunEvent) => {
      events.push(event);
      follower.onEvent?.({ run, seq: events.length, at: 1_700_000_000_000 + events.length * 1000, event });
    };
    const result = await this.#perform(run, operation, input, { dryRun: options.dryRun === true, report });
    this.runs.set(run, { operation, events, result });
    await this.after(operation);
    return result;
  }

  async #perform(
    run: RunId,
    operation: RunOperation,
    input: Input,
    { dryRun, report }: { dryRun: boolean; report(event: RunEvent): void },
  ): Promise<RunResult> {
    const title = OPERATIONS[operation].summary;
    if (dryRun && operation === 'machine.prune') {
      const steps = this.leftovers.map(({ kind, what, because }) => ({
        ...{ id: `${kind} ${what}`, title: `remove ${kind} ${what}: dead because ${because}` },
        expect: 'change' as const,
      }));
      report({ kind: 'plan', steps });
      return { run, outcome: 'planned', warnings: [] };
    }
    if (dryRun && input.force === true) {
      const steps = this.holders.map((who) => ({ id: `end.${who}`, title: `end ${who}`, expect: 'change' as const }));
      report({ kind: 'plan', steps });
      return { run, outcome: 'planned', warnings: [] };
    }
    if (dryRun && !operation.endsWith('-all')) {
      report({ kind: 'plan', steps: [{ id: 'x', title, expect: 'change', actions: ['do it'] }] });
      return { run, outcome: 'planned', warnings: [] };
    }
    if (operation === 'repo.up-all' || operation === 'repo.down-all') {
      return this.#all(run, operation, input, { dryRun, report });
    }
    if (operation === 'machine.autostart') throw new Error('a machine asks this of itself');
    report({ kind: 'step', id: 'x', title, state: 'start' });
    try {
      const output = this.#work(run, operation, input, report);
      report({ kind: 'step', id: 'x', title, state: 'done', ms: 412 });
      const partial = 'failed' in output && output.failed.length > 0;
      return { run, outcome: partial ? 'partial' : 'done', output, warnings: [] };
    } catch (error) {
      report({ kind: 'step', id: 'x', title, state: 'failed', ms: 412 });
      return { run, outcome: 'failed', warnings: [], error: toWireError(error) };
    }
  }

  /** The agent's own handler, over this machine's runs. */
  async #all(
    run: RunId,
    operation: 'repo.up-all' | 'repo.down-all',
    input: Input,
    { dryRun, report }: { dryRun: boolean; report(event: RunEvent): void },
  ): Promise<RunResult> {
    const results = new Map<RunId, Promise<RunResult>>();
    const handlers = createAllHandlers({
      listRepos: async () =>
        this.repos.map((repo) => OPERATIONS['repo.list'].output.shape.repositories.element.parse(summary(repo))),
      damaged: async () => [],
      hasKeyFile: async () => false,
      runs: {
        start: ({ operation: part, input: partInput }) =>
          new Promise((resolve, reject) => {
            const result: Promise<RunResult> = this.start(
              part,
              revealForWire(partInput) as Input,
              {},
              {
                onStarted: (id) => {
                  // Once `result` is there.
                  queueMicrotask(() => resolve(results.set(id, result) && id));
                },
              },
            );
            result.catch(reject);
          }),
        follow: async (id) => (await results.get(id)) as RunResult,
        cancel: async () => false,
        list: async () => [],
      },
    });
    const parsed = OPERATIONS[operation].input.parse(input);
    const handler = handlers[operation] as (input: unknown, context: RunContext) => Promise<Finished<unknown>>;
    const context = { run, dryRun, report, actor: 'anna@desk', signal: new AbortController().signal };
    const finished = await handler(parsed, context as unknown as RunContext);
    return { run, warnings: [], ...finished };
  }

  #work(
    run: RunId,
    operation: Exclude<RunOperation, 'repo.up-all' | 'repo.down-all' | 'machine.autostart'>,
    input: Input,
    report: (event: RunEvent) => void,
  ) {
    if (operation === 'machine.setup') {
      this.settings = input;
      this.setUp = true;
      return { datastore: String(input.datastore), checks: [], changed: true };
    }
    if (operation === 'machine.set-supervision') {
      const { supervision: before } = this;
      const given = Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined));
      this.supervision = { ...before, ...given };
      const { enabled, notifyCommand, restarts } = this.supervision;
      const settings = { enabled, notifyCommand, restarts };
      return {
        ...settings,
        changed: Object.entries(settings).some(([key, value]) => before[key as keyof typeof settings] !== value),
      };
    }
    if (operation === 'machine.prune') return this.#prune(input.only as string[] | undefined);
    if (operation === 'repo.create') return this.#create(input);
    const repo = this.find(input.repo);
    const { name, guid } = repo;
    const before = repo.state;
    switch (operation) {
      case 'repo.mount':
        this.#open(repo, input);
        return { name, guid, state: repo.state, changed: before !== repo.state };
      case 'repo.unmount':
        this.#release(repo, input);
        repo.state = 'closed';
        return { name, guid, state: repo.state, changed: before !== repo.state };
      case 'repo.up': {
        if (input.mount === false && repo.state === 'closed')
          throw new RdcError('FAILED', `repository "${name}" is closed`);
        this.#open(repo, input);
        report({ kind: 'output', source: 'root up', stream: 'stdout', text: 'Starting ', partial: true });
        report({ kind: 'output', source: 'root up', stream: 'stdout', text: 'services...' });
        if (this.failing.includes('root up'))
          report({ kind: 'step', id: 'up.root', title: 'root up', state: 'failed', detail: 'exit code 1', ms: 100 });
        repo.state = 'up';
        const services = [{ name: 'api', slot: 0, ip: '127.0.11.2', state: 'running', health: 'healthy' }];
        const failed = this.#failed();
        const reason = failed.map((one) => `${one.where} (${one.reason})`).join(', ');
        const outcome = failed.length === 0 ? 'done' : 'partial';
        repo.lastUp = { run, outcome, at: 1_700_000_000_000, ...(reason === '' ? {} : { reason }) };
        const directories = this.isBare ? [] : ['.'];
        return { name, guid, state: repo.state, changed: true, services, directories, failed };
      }
      case 'repo.down':
        if (input.unmount === true) this.#release(repo, input);
        repo.state = input.unmount === true ? 'closed' : 'daemon';
        return { name, guid, state: repo.state, changed: before !== repo.state, failed: this.#failed() };
      case 'repo.prune-slots': {
        const pruned = this.vanished;
        this.vanished = [];
        return { name, guid, changed: pruned.length > 0, pruned };
      }
      case 'repo.autostart-enable':
      case 'repo.autostart-disable': {
        const enabled = operation === 'repo.autostart-enable';
        if (!repo.keys.includes(String(input.credential)))
          throw new RdcError('WRONG_CREDENTIAL', `the credential does not open repository "${name}"`);
        const changed = (repo.autostart ?? false) !== enabled;
        repo.autostart = enabled;
        return { name, guid, changed };
      }
      case 'repo.set-limits': {
        const changed = Object.entries(input).some(([key, value]) => key in repo.limits && value !== undefined);
        if (input.memoryBytes !== undefined) repo.limits.memoryBytes = input.memoryBytes as number | null;
        if (input.cpus !== undefined) repo.limits.cpus = input.cpus as number | null;
        return { name, guid, ...repo.limits, changed };
      }
      case 'repo.restore-header': {
        if (!repo.keys.includes(String(input.credential)))
          throw new RdcError('WRONG_CREDENTIAL', `the credential does not open repository "${name}"`);
        const changed = repo.damaged === true;
        repo.damaged = false;
        return { name, guid, changed };
      }
      case 'repo.resize': {
        if (repo.state === 'closed') this.#open({ ...repo }, input);
        const beforeBytes = repo.sizeBytes;
        repo.sizeBytes = Number(input.sizeBytes);
        const sizes = { sizeBytes: repo.sizeBytes, beforeBytes };
        return { name, guid, state: before, ...sizes, changed: beforeBytes !== repo.sizeBytes };
      }
      case 'repo.rescue': {
        this.#open(repo, input);
        const isDue = (repo.usedPercent ?? 1) >= 95 && repo.isRescued !== true;
        repo.isRescued ||= isDue;
        if (isDue) repo.usedPercent = (repo.usedPercent ?? 1) - 4;
        const space = spaceUsed(repo.usedPercent ?? 1);
        const lacking = space.level === 'critical' ? { lacking: 'bytes' as const } : {};
        const largest = [
          { what: 'exports/all.tar', path: 'exports/all.tar', amount: 70 * 1024 ** 3 },
          { what: 'docker volume shop_db', path: '.rediacc/docker/volumes/shop_db', amount: 20 * 1024 ** 3 },
        ];
        const room = { freedBytes: isDue ? 4 * 1024 ** 3 : 0, space, ...lacking, largest, isWhole: true };
        const mountPoint = `/mnt/rediacc/repos/${guid}`;
        return { name, guid, state: repo.state, changed: isDue || before !== repo.state, mountPoint, ...room };
      }
      case 'repo.delete':
        this.repos.splice(this.repos.indexOf(repo), 1);
        return { name, guid, changed: true };
      case 'repo.rotate-credential':
        if (!repo.keys.includes(String(input.credential))) throw new RdcError('WRONG_CREDENTIAL', 'wrong credential');
        repo.keys = [String(input.newCredential)];
        return { name, guid, changed: true };
      case 'repo.reencrypt':
        this.#open({ ...repo }, input);
        return { name, guid, changed: true };
      case 'repo.fork':
        return this.#fork(repo, input);
    }
  }

  #release({ name }: FakeRepo, { force }: Input): void {
    if (this.holders.length > 0 && force !== true)
      throw new RdcError(
        'VOLUME_IN_USE',
        `the volume of repository "${name}" is still held by ${this.holders.join(', ')}`,
      );
    this.holders = [];
  }

  #prune(only: string[] | undefined) {
    const due = this.leftovers.filter(({ kind, what }) => only?.includes(`${kind} ${what}`) ?? true);
    const removed = due.filter(({ resists }) => !resists).map(({ kind, what, because }) => ({ kind, what, because }));
    const failed = due
      .filter(({ resists }) => resists)
      .map(({ kind, what }) => ({ where: `${kind} ${what}`, reason: 'busy' }));
    this.leftovers = this.leftovers.filter(({ what }) => !removed.some((one) => one.what === what));
    return { removed, left: [], failed, changed: removed.length > 0 };
  }

  #fork(parent: FakeRepo, input: Input) {
    if (!parent.keys.includes(String(input.credential))) throw new RdcError('WRONG_CREDENTIAL', 'wrong credential');
    const made = this.#create({ ...input, sizeBytes: parent.sizeBytes, credential: input.newCredential });
    const fork = this.find(made.guid);
    fork.parent = parent.guid;
    return { ...made, parent: parent.guid, ...(made.changed ? { copy: 'shared' as const, frozenMs: 43 } : {}) };
  }

  #failed() {
    return this.failing.map((where) => ({ where, reason: 'exit code 1' }));
  }

  #create(input: Input) {
    const { name, guid } = input;
    const same = this.repos.find((repo) => repo.guid === guid);
    if (same === undefined && this.repos.some((repo) => repo.name === name)) {
      throw new RdcError('ALREADY_EXISTS', `there is a repository "${name}" on this machine already`);
    }
    const { networkId } = same ?? this.#make(input);
    return { name: String(name), guid: guid as Guid, networkId, state: 'closed' as const, changed: same === undefined };
  }

  #make({ name, guid, sizeBytes, credential, preallocate }: Input): FakeRepo {
    const repo: FakeRepo = {
      name: name as RepoName,
      guid: guid as Guid,
      networkId: this.#nextNetworkId,
      state: 'closed',
      sizeBytes: Number(sizeBytes),
      ...(preallocate === true ? { preallocated: true } : {}),
      keys: [String(credential)],
      limits: { memoryBytes: null, cpus: null },
    };
    this.#nextNetworkId += 64;
    this.repos.push(repo);
    return repo;
  }

  #open(repo: FakeRepo, { credential }: Input): void {
    if (repo.state !== 'closed') return;
    if (credential === undefined)
      throw new RdcError('CREDENTIAL_MISSING', `repository "${repo.name}" is closed and no credential for it is known`);
    if (!repo.keys.includes(String(credential)))
      throw new RdcError('WRONG_CREDENTIAL', `the credential does not open repository "${repo.name}"`);
    repo.state = 'mounted';
  }

  find(ref: unknown): FakeRepo {
    const repo = this.repos.find(({ guid }) => guid === ref) ?? this.repos.find(({ name }) => name === ref);
    if (repo === undefined) throw new RdcError('NOT_FOUND', `there is no repository "${String(ref)}" on this machine`);
    return repo;
  }
}

class FakeClient implements AgentClient {
  readonly hello = { renet: 1 as const, protocol: 1, version: '0.1.0', bundle: '', setUp: true };
  readonly #machine: FakeMachine;

  constructor(machine: FakeMachine) {
    this.#machine = machine;
  }

  /** What crosses the wire is plain text; answers pass the same schemas as in life. */
  async call<K extends QueryOperation>(operation: K, input: RequestOf<K>): Promise<OutputOf<K>> {
    return OPERATIONS[operation].output.parse(
      await this.#machine.answer(operation, wire(operation, input)),
    ) as OutputOf<K>;
  }

  async run<K extends RunOperation>(
    operation: K,
    input: RequestOf<K>,
    options: Partial<RunOptions>,
    follower: Follower,
  ): Promise<TypedRunResult<K>> {
    const { output, ...result } = await this.#machine.start(operation, wire(operation, input), options, follower);
    return output === undefined
      ? result
      : { ...result, output: OPERATIONS[operation].output.parse(output) as OutputOf<K> };
  }

  async follow(run: RunId, after: number, follower: Follower): Promise<RunResult> {
    const known = this.#machine.runs.get(run);
    if (known === undefined)
      throw new RdcError('NOT_FOUND', `there is no run ${run} on this machine`, { hint: 'rdc run list' });
    for (const [index, event] of known.events.entries()) {
      if (index >= after)
        follower.onEvent?.({ run, seq: index + 1, at: 1_700_000_000_000 + (index + 1) * 1000, event });
    }
    return known.result;
  }

  async cancel(run: RunId): Promise<void> {
    const known = this.#machine.runs.get(run);
    if (known?.result.outcome === 'running') known.result = { ...known.result, outcome: 'cancelled' };
  }

  async close(): Promise<void> {
    await Promise.resolve();
  }
}

function wire(operation: OperationName, input: unknown): Input {
  const parsed = OPERATIONS[operation].input.parse(revealForWire(input)) as Input;
  return Object.fromEntries(
    Object.entries(parsed).map(([key, value]) => [key, value instanceof Secret ? value.reveal() : value]),
  );
}

/** Of 100 GiB. */
function spaceUsed(usedPercent: number) {
  const usedBytes = usedPercent * 1024 ** 3;
  const totalBytes = 100 * 1024 ** 3;
  const inodes = { totalInodes: 6_553_600, freeInodes: 6_000_000 };
  return {
    totalBytes,
    usedBytes,
    freeBytes: totalBytes - usedBytes,
    ...inodes,
    usedPercent,
    level: levelOf(usedPercent),
  };
}

function summary({
  name,
  guid,
  networkId,
  state,
  sizeBytes,
  attention,
  parent,
  usedPercent = 1,
  preallocated,
}: FakeRepo) {
  return {
    ...(preallocated === true ? { preallocated } : {}),
    name,
    guid,
    ...(parent === undefined ? {} : { parent }),
    networkId,
    subnet: '127.0.11.0/26',
    state,
    sizeBytes,
    allocatedBytes: 20 * 1024 ** 2,
    ...(state === 'closed' ? {} : { space: spaceUsed(usedPercent) }),
    autostart: false,
    ...(attention === undefined ? {} : { attention }),
  };
}

function status(repo: FakeRepo) {
  const { guid, state, networkId } = repo;
  const open = state !== 'closed';
  return {
    ...summary(repo),
    mountPoint: `/mnt/rediacc/repos/${guid}`,
    image: `/mnt/rediacc/repositories/${guid}`,
    dockerSocket: `/run/rediacc/docker-${networkId}.sock`,
    volume: open ? { mapping: `/dev/mapper/rediacc-${guid}`, mounted: true } : { mounted: false },
    ...{ units: {}, services: [], limits: repo.limits },
    ...(repo.lastUp === undefined ? {} : { lastUp: repo.lastUp }),
  };
}
