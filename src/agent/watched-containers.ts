// What the supervisor asks a repository's daemon about its containers, and what it has it do with them.
import * as z from 'zod';
import { messageOf, RdcError } from '../protocol/errors.ts';
import { callDocker } from './docker-api.ts';

/** Names of containers, as docker makes them, fit a path as they are; ids as well. */
const listSchema = z.array(z.looseObject({ Id: z.string().regex(/^[0-9a-f]{64}$/) }));

const inspectSchema = z.looseObject({
  Id: z.string(),
  Name: z.string(),
  State: z.looseObject({
    Status: z.string(),
    ExitCode: z.number(),
    FinishedAt: z.string(),
    Health: z
      .looseObject({
        Status: z.string(),
        Log: z.array(z.looseObject({ Start: z.string(), ExitCode: z.number(), Output: z.string() })).nullish(),
      })
      .nullish(),
  }),
  HostConfig: z.looseObject({ RestartPolicy: z.looseObject({ Name: z.string() }).nullish() }),
  Config: z.looseObject({ Labels: z.record(z.string(), z.string()).nullish() }),
});

export interface WatchedContainer {
  id: string;
  /** "shop-db-1" */
  name: string;
  unhealthy: boolean;
  /** What its health check said last, one line; "" where it said nothing. */
  lastWords: string;
  /** When docker began the last check; milliseconds since the epoch. */
  checkedAt: number;
  /** Docker could not make that check at all: it tells nothing of the container. */
  wasUnmade: boolean;
}

const healthEventSchema = z.looseObject({
  Action: z.literal('health_status: unhealthy'),
  Actor: z.looseObject({ ID: z.string().regex(/^[0-9a-f]{64}$/) }),
});

/** Docker's filter takes the word before the colon (moby, daemon/events/filter.go). */
export const HEALTH_EVENTS = { type: ['container'], event: ['health_status'] } as const;

/** The id of a container that has just become unhealthy. */
export function unhealthyIn(event: unknown): string | undefined {
  const parsed = healthEventSchema.safeParse(event);
  return parsed.success ? parsed.data.Actor.ID : undefined;
}

export async function listUnhealthy(socket: string): Promise<string[]> {
  const query = new URLSearchParams({ filters: JSON.stringify({ health: ['unhealthy'] }) }).toString();
  const path = `/containers/json?${query}`;
  return listSchema.parse(await callDocker(socket, { method: 'GET', path })).map(({ Id }) => Id);
}

/** undefined: it is gone meanwhile. */
export async function lookAtContainer(socket: string, id: string): Promise<WatchedContainer | undefined> {
  const found = await inspect(socket, id);
  if (found === undefined) return undefined;
  const { Health, Status } = found.State;
  const last = Health?.Log?.at(-1);
  return {
    id,
    name: found.Name.replace(/^\//, ''),
    unhealthy: Status === 'running' && Health?.Status === 'unhealthy',
    lastWords: plain(last?.Output ?? ''),
    checkedAt: Date.parse(last?.Start ?? ''),
    wasUnmade: last?.ExitCode === NO_EXIT_CODE && !last.Output.startsWith(TIMED_OUT),
  };
}

/** Of a check that could not be made, or took too long, and how the latter begins (moby, daemon/health.go). */
const NO_EXIT_CODE = -1;
const TIMED_OUT = 'Health check exceeded timeout';

const statsSchema = z.looseObject({ message: z.string().optional() });

const REACH_MS = 10_000;

/** Whether the daemon gets through to the container's processes: not while its containerd is dead, or hangs. */
export async function reachesContainer(socket: string, id: string): Promise<boolean> {
  const path = `/containers/${id}/stats?stream=false&one-shot=true`;
  try {
    // Docker has sent 200 before it asks.
    const { message } = statsSchema.parse(await callDocker(socket, { method: 'GET', path, timeoutMs: REACH_MS }));
    return message === undefined;
  } catch (error) {
    // Refused, or no answer in time. A daemon that is gone is no answer to this.
    if (error instanceof RdcError || (error instanceof Error && error.name === 'AbortError')) return false;
    throw error;
  }
}

/** Docker gives it its own time to stop. */
export async function restartContainer(socket: string, id: string): Promise<void> {
  await callDocker(socket, { method: 'POST', path: `/containers/${id}/restart`, timeoutMs: 300_000 });
}

/** What dockerd writes where it finds that a container ended while it was not there itself (moby, daemon.restore). */
const ENDED_UNSEEN = 255;

/**
 * Starts what ran when the daemon died and what its restart policy does not bring back; names them, and why one could not be
 * started. Those with a policy are docker's matter, one-off containers of `compose run` nobody's.
 */
export async function startLost(
  socket: string,
  daemonStartedAt: number,
): Promise<{ started: string[]; failed: string[] }> {
  const query = new URLSearchParams({ all: 'true', filters: JSON.stringify({ status: ['exited'] }) }).toString();
  const listed = listSchema.parse(await callDocker(socket, { method: 'GET', path: `/containers/json?${query}` }));
  const lost: { id: string; name: string }[] = [];
  // Docker lists the newest first; one may stand on an older one (network_mode: service:…).
  for (const { Id } of listed.toReversed()) {
    const found = await inspect(socket, Id);
    if (found !== undefined && wasLost(found, daemonStartedAt))
      lost.push({ id: Id, name: found.Name.replace(/^\//, '') });
  }
  const started: string[] = [];
  const reasons = new Map<string, string>();
  const start = async ({ id, name }: { id: string; name: string }) => {
    try {
      await callDocker(socket, { method: 'POST', path: `/containers/${id}/start`, timeoutMs: 120_000 });
      started.push(name);
      reasons.delete(name);
    } catch (error) {
      reasons.set(name, messageOf(error));
    }
  };
  for (const one of lost) await start(one);
  // Once more: by now what they stand on may run.
  for (const one of lost.filter(({ name }) => reasons.has(name))) await start(one);
  return { started: started.sort(), failed: [...reasons].map(([name, reason]) => `${name}: ${reason}`) };
}

function wasLost({ State, HostConfig, Config }: z.infer<typeof inspectSchema>, daemonStartedAt: number): boolean {
  const policy = HostConfig.RestartPolicy?.Name ?? '';
  const isOneOff = Config.Labels?.['com.docker.compose.oneoff']?.toLowerCase() === 'true';
  const endedSince = Date.parse(State.FinishedAt) >= daemonStartedAt;
  return (
    State.Status === 'exited' &&
    State.ExitCode === ENDED_UNSEEN &&
    endedSince &&
    !isOneOff &&
    ['', 'no'].includes(policy)
  );
}

async function inspect(socket: string, id: string): Promise<z.infer<typeof inspectSchema> | undefined> {
  try {
    return inspectSchema.parse(await callDocker(socket, { method: 'GET', path: `/containers/${id}/json` }));
  } catch (error) {
    if (error instanceof Error && /no such container/i.test(error.message)) return undefined;
    throw error;
  }
}

/** The last line of what a health check printed, for terminals and logs: whoever wrote it may have meant ill. */
function plain(output: string): string {
  const line = output.trim().split('\n').at(-1) ?? '';
  return line.replace(/\p{C}/gu, ' ').trim().slice(0, 200);
}
