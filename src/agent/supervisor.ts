// Keeps up what should be up: a watch per repository (watched-repo.ts) and one for the guard (guard-watch.ts), begun when
// the agent starts and whenever a run has ended. What it does is told by `rdc machine status` and the notify command.
import { setMaxListeners } from 'node:events';
import { tellsOfForeign } from '../lifecycle/openings.ts';
import type { System } from '../lifecycle/system.ts';
import type { RepoTarget } from '../lifecycle/target.ts';
import { RdcError } from '../protocol/errors.ts';
import { type Guid, guidSchema } from '../protocol/ids.ts';
import type { RepoSummary } from '../protocol/operations.ts';
import type { Attention, SupervisionKind } from '../protocol/supervision.ts';
import { watchDatastore } from './datastore-watch.ts';
import type { Monitoring } from './follow-monitor.ts';
import { watchGuard } from './guard-watch.ts';
import { finishBoot } from './interrupted-boot.ts';
import { NEEDS_DOWN_DIR, STATE_DIR } from './layout.ts';
import { createNotifier, type Notifier } from './notify-command.ts';
import { type OpeningWatch, watchOpenings } from './opening-watch.ts';
import type { RunEnd, Runs } from './runs.ts';
import { createSupervised, type Supervised } from './supervised.ts';
import { DATASTORE_SUBJECT, MACHINE_SUBJECT, SupervisionRecord } from './supervision-record.ts';
import { bringUp, SUPERVISOR, withSupervisorLock } from './supervisor-actor.ts';
import type { WatchDeps } from './watch-deps.ts';
import { watchRepo } from './watched-repo.ts';

export interface SupervisorDeps {
  runs: Pick<Runs, 'start' | 'follow' | 'list'>;
  createSystem(signal: AbortSignal): System;
  lockDir: string;
  /** For the log of the daemon. */
  log(message: string): void;
  /** Milliseconds since the epoch. */
  now(): number;
}

export class Supervisor {
  readonly #deps: SupervisorDeps;
  readonly #system: System;
  readonly #supervised: Supervised;
  readonly #record: SupervisionRecord;
  readonly #notifier: Notifier;
  readonly #end = new AbortController();
  /** Of the datastore's watch: what still runs while the agent makes room can fill it. */
  readonly #lastEnd = new AbortController();
  readonly #watches = new Map<Guid, Promise<void>>();
  /** A run has ended while the watch was there: it may have been about to end. */
  readonly #again = new Set<Guid>();
  #guard: Monitoring | undefined;
  #datastore: Promise<void> | undefined;
  readonly #openings: OpeningWatch;
  #changed = new AbortController();
  #isStarted = false;

  constructor(deps: SupervisorDeps) {
    this.#deps = deps;
    // Every watch listens to it.
    setMaxListeners(0, this.#end.signal, this.#changed.signal);
    this.#system = deps.createSystem(this.#end.signal);
    this.#supervised = createSupervised(this.#system);
    // Without the signal: what was done is noted and told also while the agent ends.
    const lasting = deps.createSystem(new AbortController().signal);
    this.#record = new SupervisionRecord({
      system: lasting,
      path: `${STATE_DIR}/supervision.json`,
      onTrouble: deps.log,
    });
    this.#openings = watchOpenings({
      system: this.#system,
      signal: this.#end.signal,
      repos: () => this.#supervised.targets(),
      giveUp: (target, reason) => this.giveUp(target, reason),
      isInOrder: (target) => this.#clearOpening(target),
      onTrouble: (error) => deps.log(`supervisor, second openings: ${String(error)}`),
    });
    this.#notifier = createNotifier({
      system: lasting,
      commandLine: async () => (await this.#supervised.settings()).notifyCommand,
      onFailure: (message) => this.#record.note({ at: deps.now(), kind: 'notify-failed', message }),
    });
  }

  /** What was noted before; also without a start, for those who ask. */
  load(): Promise<void> {
    return this.#record.load();
  }

  /** Once earlier runs are brought to an end: whatever should be up by then is watched. */
  async start(): Promise<void> {
    this.#isStarted = true;
    this.#datastore ??= this.#watchDatastore();
    const records = await this.#supervised.records();
    this.#record.keepOnly(records.map(({ guid }) => guid));
    const promised = (await this.#system.list(NEEDS_DOWN_DIR)) ?? [];
    for (const { guid } of records) if (promised.includes(guid)) this.#watch(guid);
    await this.#openings.beginIfOpen();
    void finishBoot(records, {
      runs: this.#deps.runs,
      signal: this.#end.signal,
      now: this.#deps.now,
      isEnabled: async () => (await this.#supervised.settings()).enabled,
      tell: (kind, message, repo) => this.#tell(kind, message, repo),
      giveUp: (repo, reason) => this.giveUp(repo, reason),
    }).catch((error: unknown) => this.#deps.log(`supervisor: ${String(error)}`));
  }

  /** Nothing is begun any more; resolves when nothing goes on. */
  async stop(): Promise<void> {
    this.#isStarted = false;
    this.#end.abort(new RdcError('CANCELLED', 'the agent ends'));
    await Promise.all([...this.#watches.values(), this.#guard?.ended, this.#openings.ended()]);
    await this.#record.saved();
  }

  /** After stop(), once nothing runs that writes. */
  async stopLast(): Promise<void> {
    this.#lastEnd.abort(new RdcError('CANCELLED', 'the agent ends'));
    await this.#datastore;
    await this.#record.saved();
  }

  /** It may open a repository. */
  began({ keys }: Pick<RunEnd, 'keys'>): void {
    if (keys.some((key) => guidSchema.safeParse(key).success)) this.#openings.begin();
  }

  ended({ operation, actor, keys, result }: RunEnd): void {
    if (operation === 'machine.set-supervision') this.#lookAnew();
    const guid = guidSchema.safeParse(keys.find((key) => guidSchema.safeParse(key).success)).data;
    if (guid === undefined) return;
    const isUp = operation === 'repo.up' && (result.outcome === 'done' || result.outcome === 'partial');
    if (isUp && actor !== SUPERVISOR) this.#clear(guid);
    this.#watch(guid);
  }

  attention(guid: Guid): Attention | undefined {
    return this.#record.attention(guid);
  }

  async report() {
    const machine = this.#record.attention(DATASTORE_SUBJECT) ?? this.#record.attention(MACHINE_SUBJECT);
    return {
      ...(await this.#supervised.settings()),
      events: this.#record.events(),
      ...(machine === undefined ? {} : { attention: machine }),
    };
  }

  /** What became unhealthy while it was switched off or given up: docker tells of it once. And what another limit makes of it. */
  #lookAnew(): void {
    this.#changed.abort();
    this.#changed = new AbortController();
    setMaxListeners(0, this.#changed.signal);
    this.#guard?.look();
  }

  #watch(guid: Guid): void {
    if (!this.#isStarted) return;
    if (this.#watches.has(guid)) {
      this.#again.add(guid);
      return;
    }
    const watch = this.#watchOne(guid)
      .catch((error: unknown) => {
        if (!this.#end.signal.aborted) this.#deps.log(`supervisor, repository ${guid}: ${String(error)}`);
      })
      .finally(() => {
        this.#watches.delete(guid);
        if (this.#again.delete(guid)) this.#watch(guid);
      });
    this.#watches.set(guid, watch);
  }

  async #watchOne(guid: Guid): Promise<void> {
    const target = await this.#supervised.target(guid);
    if (target === undefined || (await this.#system.stat(target.needsDownFlag)) === undefined) return;
    this.#guard ??= watchGuard({
      system: this.#system,
      signal: this.#end.signal,
      record: this.#record,
      now: this.#deps.now,
      isEnabled: async () => (await this.#supervised.settings()).enabled,
      tell: (kind, message) => this.#tell(kind, message),
      giveUp: (reason) => this.giveUp(undefined, reason),
    });
    await watchRepo(target, this.#watchDeps());
  }

  #watchDatastore(): Promise<void> {
    const { signal } = this.#lastEnd;
    const common = { system: this.#deps.createSystem(signal), signal, record: this.#record, now: this.#deps.now };
    return watchDatastore({ ...common, tell: (kind, message) => this.#tell(kind, message) });
  }

  #watchDeps(): WatchDeps {
    return {
      system: this.#system,
      signal: this.#end.signal,
      record: this.#record,
      now: this.#deps.now,
      settings: () => this.#supervised.settings(),
      changed: () => this.#changed.signal,
      withLock: (target, what, work) =>
        withSupervisorLock(this.#deps.lockDir, this.#end.signal, { target, what, work }),
      bringUp: ({ guid }) => bringUp(this.#deps.runs, guid),
      tell: (kind, message, target) => this.#tell(kind, message, target),
      giveUp: (target, reason) => this.giveUp(target, reason),
    };
  }

  #clear(guid: Guid): void {
    // The guard is mended by every up.
    this.#record.clear(MACHINE_SUBJECT);
    // An up opens nothing that is attached twice; what was attached since then is still there until a look says otherwise.
    if (tellsOfForeign(this.#record.attention(guid)?.reason ?? '')) this.#openings.look();
    else this.#clearStarted(guid);
  }

  #clearStarted(guid: Guid): void {
    if (!this.#record.clear(guid)) return;
    this.#lookAnew();
    void this.#supervised.target(guid).then((target) => {
      if (target !== undefined) this.#tell('attention-cleared', `"${target.name}" was started by hand`, target);
    });
  }

  #clearOpening(target: RepoTarget): void {
    if (!tellsOfForeign(this.#record.attention(target.guid)?.reason ?? '')) return;
    this.#record.clear(target.guid);
    this.#tell('attention-cleared', `the image of "${target.name}" is attached only once again`, target);
  }

  /** Nobody tries any more: a person has to look. undefined: the machine itself. */
  giveUp(repo: Pick<RepoSummary, 'guid' | 'name'> | undefined, reason: string): void {
    const subject = repo?.guid ?? MACHINE_SUBJECT;
    if (this.#record.attention(subject)?.reason === reason) return;
    this.#record.giveUp(subject, { since: this.#deps.now(), reason });
    const whose = repo === undefined ? '' : `"${repo.name}" `;
    this.#tell('needs-attention', `${whose}needs attention: ${reason}`, repo);
  }

  #tell(kind: SupervisionKind, message: string, repo?: Pick<RepoSummary, 'guid' | 'name'>): void {
    const whose = repo === undefined ? {} : { repo: repo.name, guid: repo.guid };
    const last = this.#record.events().find(({ guid }) => guid === repo?.guid);
    if (kind === 'left-alone' && last?.kind === kind) return;
    const event = { at: this.#deps.now(), kind, ...whose, message };
    this.#record.note(event);
    this.#deps.log(`supervisor: ${message}`);
    this.#notifier.notify(event);
  }
}
