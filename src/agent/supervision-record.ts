// What the supervisor remembers: its last deeds, what it has given up, and how often it has tried. Kept in
// /var/lib/rediacc, so that neither a restart of the agent nor a reboot makes a limit start anew.
import * as z from 'zod';
import type { System } from '../lifecycle/system.ts';
import type { Guid } from '../protocol/ids.ts';
import {
  type Attention,
  attentionSchema,
  type SupervisionEvent,
  supervisionEventSchema,
} from '../protocol/supervision.ts';
import type { Tries } from './supervision-policy.ts';

/** Older events are forgotten. */
const MOST_EVENTS = 200;
/** Subject of what is about the machine and no repository of it. */
export const MACHINE_SUBJECT = 'machine';

/** Of its own: an `up` that succeeds says nothing of the datastore. */
export const DATASTORE_SUBJECT = 'machine datastore';

export type Subject = Guid | typeof MACHINE_SUBJECT | typeof DATASTORE_SUBJECT;

const memorySchema = z.object({
  version: z.literal(1),
  /** Oldest first. */
  events: z.array(supervisionEventSchema),
  attention: z.record(z.string(), attentionSchema),
  /** By subject and what is tried: "{guid} container shop-db-1". */
  tries: z.record(z.string(), z.object({ count: z.number(), lastAt: z.number() })),
  /** How often systemd had started the daemon of a repository again when it was last looked at; per start of the machine. */
  daemonRestarts: z.record(z.string(), z.object({ boot: z.string(), count: z.number() })),
});
type Memory = z.infer<typeof memorySchema>;

function nothing(): Memory {
  return { version: 1, events: [], attention: {}, tries: {}, daemonRestarts: {} };
}

export class SupervisionRecord {
  readonly #system: System;
  readonly #path: string;
  readonly #onTrouble: (message: string) => void;
  #memory: Memory = nothing();
  #saving: Promise<void> = Promise.resolve();

  constructor(parts: { system: System; path: string; onTrouble: (message: string) => void }) {
    this.#system = parts.system;
    this.#path = parts.path;
    this.#onTrouble = parts.onTrouble;
  }

  /** Only a memory: one that was torn is none, and says so. */
  async load(): Promise<void> {
    const text = await this.#system.readFile(this.#path);
    if (text === undefined) return;
    const parsed = memorySchema.safeParse(jsonOf(text));
    if (parsed.success) this.#memory = parsed.data;
    else this.#onTrouble(`${this.#path} cannot be read: what the supervisor did before is forgotten`);
  }

  /** Newest first. */
  events(): SupervisionEvent[] {
    return this.#memory.events.toReversed();
  }

  note(event: SupervisionEvent): void {
    this.#memory.events = [...this.#memory.events, event].slice(-MOST_EVENTS);
    this.#save();
  }

  attention(subject: Subject): Attention | undefined {
    return this.#memory.attention[subject];
  }

  giveUp(subject: Subject, attention: Attention): void {
    this.#memory.attention[subject] = attention;
    this.#save();
  }

  tries(subject: Subject, what: string): Tries | undefined {
    return this.#memory.tries[`${subject} ${what}`];
  }

  setTries(subject: Subject, what: string, tries: Tries): void {
    this.#memory.tries[`${subject} ${what}`] = tries;
    this.#save();
  }

  forgetTries(subject: Subject, what: string): void {
    delete this.#memory.tries[`${subject} ${what}`];
    this.#save();
  }

  /** A new beginning. True when it had been given up. */
  clear(subject: Subject): boolean {
    const had = this.#memory.attention[subject] !== undefined;
    delete this.#memory.attention[subject];
    for (const key of Object.keys(this.#memory.tries)) {
      if (key.startsWith(`${subject} `)) delete this.#memory.tries[key];
    }
    this.#save();
    return had;
  }

  daemonRestarts(guid: Guid, boot: string): number {
    const known = this.#memory.daemonRestarts[guid];
    return known?.boot === boot ? known.count : 0;
  }

  setDaemonRestarts(guid: Guid, boot: string, count: number): void {
    if (this.#memory.daemonRestarts[guid]?.count === count && this.#memory.daemonRestarts[guid].boot === boot) return;
    this.#memory.daemonRestarts[guid] = { boot, count };
    this.#save();
  }

  /** Nothing of repositories that are gone. */
  keepOnly(guids: readonly Guid[]): void {
    const isKnown = (key: string) => key.startsWith(MACHINE_SUBJECT) || guids.some((guid) => key.startsWith(guid));
    const kept = <T>(values: Record<string, T>) =>
      Object.fromEntries(Object.entries(values).filter(([key]) => isKnown(key)));
    const { attention, tries, daemonRestarts } = this.#memory;
    this.#memory = {
      ...this.#memory,
      attention: kept(attention),
      tries: kept(tries),
      daemonRestarts: kept(daemonRestarts),
    };
  }

  /** Resolves when what was noted so far is on the disk. */
  async saved(): Promise<void> {
    await this.#saving;
  }

  /** One after the other, or an earlier state could be the last one written. A full disk must not end the supervision. */
  #save(): void {
    this.#saving = this.#saving
      .then(() => this.#system.writeFile(this.#path, `${JSON.stringify(this.#memory, null, 2)}\n`, 0o600))
      .catch((error: unknown) => this.#onTrouble(`${this.#path} cannot be written: ${String(error)}`));
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
