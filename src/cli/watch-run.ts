// Watching a run that belongs to the agent: drawn as it goes on, over as many connections as that takes, left alone or
// cancelled when a person presses Ctrl-C, not watched at all with --detach.
import { isCode, RdcError } from '../protocol/errors.ts';
import type { JournalEvent } from '../protocol/events.ts';
import type { RunId } from '../protocol/ids.ts';
import type { AgentClient, Follower } from './agent-client.ts';
import type { CommandContext } from './context.ts';
import { untilInterrupted } from './interrupt.ts';
import { openProgress } from './progress.ts';
import { judge, leftAlone, outOfReach, perhapsBegun, type Result, type RunEnd } from './run-end.ts';
import type { StepEvent } from './step-text.ts';
import type { MachineTarget } from './target.ts';

/** Where a run is shown. */
export interface View {
  event(event: JournalEvent): void;
  /** Of the link to the machine. */
  step(step: StepEvent): void;
}

export interface Watched<O> {
  /** Starts the run, or follows one that exists. Asked again over another client, it starts no second one. */
  start(client: AgentClient, follower: Follower): Promise<Result<O>>;
  /** What an end that arrives over a later connection holds. */
  readOutput(output: unknown): O;
  /** Of a run that exists already. */
  run?: RunId;
}

/** Before each attempt to reach the machine again, milliseconds: about five minutes, beside what the attempts take. */
const PAUSES_MS = [1000, 2000, 4000, 8000, ...Array.from({ length: 19 }, () => 15_000)];
/** In which a second Ctrl-C means the run and not only the watching. */
const SECOND_CTRL_C_MS = 3000;

/** Resolves for "done", "partial", "planned" and "detached"; throws the run's own error for everything else. */
export async function watchRun<O>(
  command: CommandContext,
  connection: { client: AgentClient; machine: MachineTarget },
  watched: Watched<O>,
): Promise<RunEnd<O>> {
  const progress = await openProgress(command.io, command.now);
  const view: View = { event: ({ event }) => progress.event(event), step: (step) => progress.step(step) };
  const watch = new Watch(command, connection, watched, view);
  try {
    const ending = watch.end();
    const result = await untilInterrupted(command.signal, ending);
    if (result === 'detached') return watch.detached();
    if (result !== undefined) return judge(result, progress.plan());
    progress.close();
    return judge(await watch.interrupted(ending), []);
  } finally {
    progress.close();
    await watch.close();
  }
}

/**
 * Shows a run to its end, over as many connections as that takes; Ctrl-C leaves the run alone: undefined. How it ended is the
 * caller's matter.
 */
export async function showRun(
  command: CommandContext,
  connection: { client: AgentClient; machine: MachineTarget },
  watched: Pick<Watched<unknown>, 'start' | 'run'>,
  view: View,
): Promise<Result<unknown> | undefined> {
  const watch = new Watch<unknown>(command, connection, { ...watched, readOutput: (output) => output }, view);
  try {
    const result = await untilInterrupted(command.signal, watch.end());
    return result === 'detached' ? undefined : result;
  } finally {
    await watch.close();
  }
}

class Watch<O> {
  readonly #command: CommandContext;
  readonly #machine: MachineTarget;
  readonly #watched: Watched<O>;
  readonly #view: View;
  readonly #detached: Promise<'detached'>;
  #detach: () => void = () => undefined;
  readonly #first: AgentClient;
  /** The connection that is followed on; undefined while there is none. */
  #client: AgentClient | undefined;
  #later: AgentClient | undefined;
  #run: RunId | undefined;
  #seen = 0;
  /** Somebody else holds what the run needs: it begins only while this connection is there. */
  #isWaiting = false;
  /** Nobody watches any more, so a connection that ends is no reason for another one. */
  #isOver = false;

  constructor(
    command: CommandContext,
    { client, machine }: { client: AgentClient; machine: MachineTarget },
    watched: Watched<O>,
    view: View,
  ) {
    this.#command = command;
    this.#machine = machine;
    this.#watched = watched;
    this.#view = view;
    this.#first = client;
    this.#client = client;
    this.#run = watched.run;
    this.#detached = new Promise((resolve) => {
      this.#detach = () => resolve('detached');
    });
  }

  async end(): Promise<Result<O> | 'detached'> {
    const ending = this.#toTheEnd();
    if (!this.#command.detach) return await ending;
    const first = await Promise.race([ending, this.#detached]);
    // The connection is closed under it.
    if (first === 'detached') ending.catch(() => undefined);
    return first;
  }

  detached(): RunEnd<O> {
    if (this.#run === undefined) throw new RdcError('INTERNAL', 'a run without an id was detached from');
    return { run: this.#run, outcome: 'detached', output: undefined, plan: [], warnings: [] };
  }

  /** A first Ctrl-C leaves the run alone; a second one, where a person confirms it, cancels the run. */
  async interrupted(ending: Promise<Result<O> | 'detached'>): Promise<Result<O>> {
    const { io, interruptedAgain, ask } = this.#command;
    const run = this.#run;
    if (run === undefined) throw perhapsBegun(this.#machine);
    if (!io.canAsk) throw leftAlone(this.#machine, run);
    io.say(`stopped following; the run goes on on "${this.#machine.name}"; Ctrl-C again to cancel it`);
    if (!(await interruptedAgain(SECOND_CTRL_C_MS))) throw leftAlone(this.#machine, run);
    const isSure = await ask.confirm(`Cancel the run on "${this.#machine.name}"?`).catch(() => false);
    if (!isSure) throw leftAlone(this.#machine, run);
    if (this.#client === undefined) throw outOfReach(this.#machine, run);
    await this.#client.cancel(run);
    io.say('cancelling; it stops where it stands');
    return (await ending) as Result<O>;
  }

  async close(): Promise<void> {
    this.#isOver = true;
    await this.#later?.close();
  }

  async #toTheEnd(): Promise<Result<O>> {
    const follower: Follower = {
      onWaiting: (why) => {
        this.#isWaiting = true;
        this.#showWaiting(why);
      },
      onStarted: (run) => {
        if (this.#isWaiting) this.#view.step({ id: 'wait', title: 'waited until it was free', state: 'done' });
        this.#isWaiting = false;
        this.#run = run;
        this.#detach();
      },
      onEvent: (event) => {
        // What came twice over two connections is drawn once.
        if (event.seq <= this.#seen) return;
        this.#seen = event.seq;
        this.#view.event(event);
      },
    };
    try {
      return await this.#watched.start(this.#first, follower);
    } catch (error) {
      if (!isCode(error, 'CONNECTION_LOST') || this.#isOver) throw error;
      return await this.#again(follower, error);
    }
  }

  #showWaiting({ message, hint = '' }: RdcError): void {
    const follow = hint.startsWith('rdc run attach') ? `; follow it: ${hint} -m ${this.#machine.name}` : '';
    this.#view.step({ id: 'wait', title: `${message}${follow}`, state: 'info' });
    this.#view.step({ id: 'wait', title: 'waiting until it is free', state: 'start' });
  }

  /** Follows from the last event that was seen, over a new connection. Throws `lost` when the machine stays away. */
  async #again(follower: Follower, lost: unknown): Promise<Result<O>> {
    const step = { id: 'link', title: `reaching "${this.#machine.name}" again` };
    this.#client = undefined;
    this.#view.step({ ...step, state: 'start' });
    const pauses = [...PAUSES_MS];
    for (let pause = pauses.shift(); pause !== undefined; pause = pauses.shift()) {
      await this.#command.pause(pause);
      if (this.#command.signal.aborted || this.#isOver) throw lost;
      const seen = this.#seen;
      try {
        await this.#later?.close();
        this.#later = await this.#command.connect(this.#machine);
        this.#client = this.#later;
        this.#view.step({ ...step, state: 'done' });
        return await this.#over(this.#later, follower);
      } catch (error) {
        this.#client = undefined;
        if (!isCode(error, 'CONNECTION_LOST', 'UNREACHABLE')) throw error;
        // A link that has carried something was a good one: this is another outage.
        if (this.#seen > seen) pauses.splice(0, Number.POSITIVE_INFINITY, ...PAUSES_MS);
        this.#view.step({ ...step, state: 'start' });
      }
    }
    this.#view.step({ ...step, state: 'failed' });
    throw lost;
  }

  /** Whether the run was begun when the link was lost, only the machine knows: without an id it is asked for again. */
  async #over(client: AgentClient, follower: Follower): Promise<Result<O>> {
    if (this.#run === undefined) return await this.#watched.start(client, follower);
    const { output, ...result } = await client.follow(this.#run, this.#seen, follower);
    return output === undefined || output === null ? result : { ...result, output: this.#watched.readOutput(output) };
  }
}
