// Draws what is going on: each step with its duration, the lines of functions with their source, transfers with rate
// and time left. Events are facts; words, symbols and colour are decided by the CLI alone.
import { formatDuration } from '../protocol/duration.ts';
import type { PlanStep, RunEvent } from '../protocol/events.ts';
import { cleanLine, type Io } from './io.ts';
import { createOutputLines, type OutputEvent, type SourcedLine } from './output-lines.ts';
import { describePlan } from './plan-text.ts';
import { openScreen, type Screen } from './screen.ts';
import { describeStep, type StepEvent } from './step-text.ts';
import { describeTransfer, type TransferEvent } from './transfer-text.ts';

const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const FRAME_MS = 100;
/** Of a function that failed, shown where --quiet has kept everything else back. */
const LAST_WORDS = 10;
/** Without a changing line, a long step says that it is still at it. */
const STILL_MS = 15_000;
/** Characters of a line that has not come to its end, shown behind its step. */
const LONGEST_NOTE = 200;
/** What docker prints of every layer of an image, many times a second; the log of the run keeps it. */
const IMAGE_PROGRESS =
  /^\s*[0-9a-f]{12}:? (?:Pulling fs layer|Waiting|Downloading|Verifying Checksum|Download complete|Extracting|Pull complete|Already exists)\b/;

export interface Progress {
  event(event: RunEvent): void;
  step(event: StepEvent): void;
  transfer(event: TransferEvent): void;
  /** Every plan that was reported, in order: a dry run shows them. */
  plan(): PlanStep[];
  /** Ends the drawing; nothing of it stays on the screen but finished lines. */
  close(): void;
}

interface Running {
  title: string;
  startedAt: number;
  /** Its last line of progress, shown behind it for as long as it runs. */
  note?: string;
  transfer?: { event: TransferEvent; startedAt: number; startedWith: number };
}

export async function openProgress(io: Io, now: () => number): Promise<Progress> {
  const screen = await openScreen(io.streams.stderr, io.live);
  return new Drawing(io, screen, now);
}

class Drawing implements Progress {
  readonly #io: Io;
  readonly #screen: Screen;
  readonly #now: () => number;
  readonly #running = new Map<string, Running>();
  readonly #plan: PlanStep[] = [];
  readonly #lastWords = new Map<string, string[]>();
  readonly #lines = createOutputLines();
  readonly #timer: NodeJS.Timeout;

  constructor(io: Io, screen: Screen, now: () => number) {
    this.#io = io;
    this.#screen = screen;
    this.#now = now;
    this.#timer = setInterval(() => this.#tick(), io.live ? FRAME_MS : STILL_MS);
    this.#timer.unref();
  }

  event(event: RunEvent): void {
    if (event.kind === 'step') this.step(event);
    else if (event.kind === 'progress') this.transfer(event);
    else if (event.kind === 'output') this.#output(event);
    else if (event.kind === 'plan') this.#planned(event.steps);
    else if (event.kind === 'phase') this.#phase(event.id, event.text);
    else this.#aside(() => this.#io.warn(event.message, event.hint));
  }

  step(event: StepEvent): void {
    const { id, title, state } = event;
    const startedAt = this.#running.get(id)?.startedAt;
    if (state === 'start') {
      this.#running.set(id, { title, startedAt: this.#now() });
      this.#draw();
      return;
    }
    for (const line of this.#lines.rest(title)) this.#outputLine(line);
    this.#running.delete(id);
    if (state === 'failed' && this.#io.quiet) this.#quote(title);
    this.#lastWords.delete(title);
    const ms = event.ms ?? (startedAt === undefined ? undefined : this.#now() - startedAt);
    if (state !== 'skipped' || this.#io.verbose) this.#line(describeStep({ ...event, ms }, this.#io.paintErr));
    else this.#draw();
  }

  transfer(event: TransferEvent): void {
    const running = this.#running.get(event.id) ?? { title: event.id, startedAt: this.#now() };
    const { startedAt = this.#now(), startedWith = event.done } = running.transfer ?? {};
    this.#running.set(event.id, { ...running, transfer: { event, startedAt, startedWith } });
    this.#draw();
  }

  plan(): PlanStep[] {
    return this.#plan;
  }

  close(): void {
    clearInterval(this.#timer);
    for (const line of this.#lines.rest()) this.#outputLine(line);
    this.#screen.close();
  }

  #quote(source: string): void {
    for (const line of this.#lastWords.get(source) ?? []) this.#screen.line(line);
  }

  #output(event: OutputEvent): void {
    const line = this.#lines.take(event);
    if (line === undefined) this.#note(event.source, cleanLine(this.#lines.begun(event).slice(-LONGEST_NOTE), false));
    else this.#outputLine(line);
  }

  #outputLine({ source, text }: SourcedLine): void {
    const { cyan, isColorSupported } = this.#io.paintErr;
    const line = cleanLine(text, isColorSupported);
    const words = [...(this.#lastWords.get(source) ?? []), `${source} | ${line}`];
    this.#lastWords.set(source, words.slice(-LAST_WORDS));
    if (this.#io.verbose || !IMAGE_PROGRESS.test(line)) this.#line(`${cyan(`${source} |`)} ${line}`);
    else this.#note(source, line.trim());
  }

  #note(source: string, words: string): void {
    const running = [...this.#running.values()].find(({ title }) => title === source);
    if (running !== undefined) running.note = words;
    this.#draw();
  }

  #phase(id: string, text: string): void {
    const running = this.#running.get(id);
    if (running !== undefined) running.note = text;
    this.#draw();
  }

  #planned(steps: readonly PlanStep[]): void {
    this.#plan.push(...steps);
    if (this.#io.verbose) this.#line(describePlan(steps, { actions: true, paint: this.#io.paintErr }));
  }

  #line(text: string): void {
    if (!this.#io.quiet) this.#aside(() => this.#screen.line(text));
  }

  /** Something else writes to stderr: the changing part makes room and comes back. */
  #aside(write: () => void): void {
    this.#screen.status([]);
    write();
    this.#draw();
  }

  #tick(): void {
    this.#draw();
    if (this.#io.live || this.#io.quiet) return;
    const long = [...this.#running.values()].filter(({ startedAt }) => this.#now() - startedAt >= STILL_MS);
    for (const running of long) this.#screen.line(`… ${this.#describe(running)}`);
  }

  #draw(): void {
    if (!this.#io.live) return;
    const frame = FRAMES[Math.floor(this.#now() / FRAME_MS) % FRAMES.length] ?? '';
    const width = Math.max(20, (this.#io.streams.stderr.columns ?? 80) - 3);
    const lines = [...this.#running.values()].map((running) => this.#describe(running).slice(0, width));
    this.#screen.status(lines.map((line) => `${this.#io.paintErr.cyan(frame)} ${line}`));
  }

  #describe({ title, startedAt, transfer, note }: Running): string {
    if (transfer === undefined) {
      return `${title} ${formatDuration(this.#now() - startedAt)}${note === undefined ? '' : `  ${note}`}`;
    }
    return `${title} ${describeTransfer(transfer.event, this.#now() - transfer.startedAt, transfer.startedWith)}`;
  }
}
