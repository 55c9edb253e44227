// kill -9 of one process of ours after the other, at random moments while three repositories go up and down, one of them with
// containers, and a fourth is made or deleted: nothing is lost, nobody has to mend anything, and the same command again ends in
// the right state. The tests of random-kills.test.ts, and of test/long/random-kills.test.ts, which has more kills.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { seeded } from '../helpers/seeded.ts';
import { credentialsOf, expectNoCredential } from './canary.ts';
import type { Desk } from './desk.ts';
import { remainsOf } from './remains.ts';
import { startSetUp } from './set-up.ts';
import type { TestVm } from './vm.ts';

const NAMES = ['one', 'two', 'three'] as const;
type Name = (typeof NAMES)[number];
/** The one whose functions start a container; it counts in a file of the volume, from where it had got to. */
const SERVING: Name = 'one';
/** Made or deleted beside the others. */
const FOURTH = 'four';
const COMPOSE = `services:
  counter:
    image: busybox
    restart: unless-stopped
    volumes: ["./state:/state"]
    command: sh -c 'n=$$(cat /state/count || echo 0); while :; do n=$$((n + 1)); echo $$n >/state/new; mv /state/new /state/count; sleep 0.5; done'
`;

const REDIACCFILE = `prep() { sleep 1; }
up() { sleep 2; echo up >marker; }
down() { sleep 1; rm -f marker; }
`;
const SERVING_REDIACCFILE = `prep() { mkdir -p state; }
up() { renet compose -- up -d; echo up >marker; }
down() { renet compose -- down --timeout 1; rm -f marker; }
`;

/** Shell that prints the process ids of a kind, one a line. */
const VICTIMS = {
  agent: 'systemctl show --property MainPID --value rediacc-agent | grep -vx 0',
  bridge: "pgrep -f 'connect[.]mjs|renet connect'",
  login: "pgrep -f '^sshd.*: deploy'",
  dockerd: 'pgrep -x dockerd',
  containerd: 'pgrep -x containerd',
  cryptsetup: 'pgrep -x cryptsetup',
  mkfs: 'pgrep -x mkfs.ext4',
  mount: "pgrep -x 'mount|umount|losetup'",
  function:
    'ps -o pid=,comm= -p "$(grep -l rediacc-function- /proc/[0-9]*/cgroup | cut -d/ -f3 | paste -sd,)" | awk \'$2 == "bash" {print $1}\'',
} as const;
const KINDS = Object.keys(VICTIMS) as (keyof typeof VICTIMS)[];
/** There for a moment only, soon after the start: waited for from then on. */
const BRIEF: readonly string[] = ['cryptsetup', 'mkfs', 'mount'];

/** A kill comes at most this long after the commands were started, in milliseconds. */
const LONGEST_WAIT = 20_000;
/** For a command whose agent, daemon or connection was killed, in milliseconds; an undisturbed one takes a tenth of it. */
const LIMIT = 400_000;

interface Status {
  guid: string;
  networkId: number;
  mountPoint: string;
  state: string;
}

/** What a command asks for, and the states of `repo status` that are right after it. */
const GOALS = { up: ['up'], down: ['daemon', 'mounted', 'closed'], 'down --unmount': ['closed'] } as const;
type Goal = keyof typeof GOALS;

let vm: TestVm;
let desk: Desk;
const subjects = new Map<Name, Status>();
const table: string[] = [];
/** How often each kind was struck, and not the agent in its place. */
const struck = new Map<string, number>();
/** Also of those that are deleted since. */
const credentials = new Set<string>();
let counted = 0;

const statusOf = (name: Name) => desk.json<Status>(`repo status ${name}`);
const line = (name: Name, goal: Goal) => `repo ${goal.replace(/^\w+/, `$& ${name}`)}`;

/** Registers the tests; the kill with number n has the seed `seed` + n. */
export function randomKills({ kills, seed }: { kills: number; seed: number }): void {
  beforeAll(async () => {
    ({ vm, desk } = await startSetUp());
    for (const name of NAMES) {
      await desk.done(`repo create ${name} --size 300M`);
      await desk.done(`repo mount ${name}`);
      const status = await statusOf(name);
      subjects.set(name, status);
      const put = (file: string, input: string) => vm.root(`cat >${status.mountPoint}/${file}`, { input });
      await put('Rediaccfile', name === SERVING ? SERVING_REDIACCFILE : REDIACCFILE);
      if (name === SERVING) await put('compose.yml', COMPOSE);
      await vm.root(`echo 'of ${name}' >${status.mountPoint}/kept; sync`);
    }
  });
  afterAll(async () => {
    console.log(table.join('\n'));
    await desk?.destroy();
    await vm?.destroy();
  });

  const seeds = Array.from({ length: kills }, (_, index) => seed + 1 + index);
  // Longer than a kill and its repeat may take.
  test.each(seeds)('kill with seed %i', { timeout: 5 * LIMIT }, async (one) => {
    const random = seeded(one);
    const oneOf = <T>(items: readonly T[]) => items[Math.floor(random() * items.length)] as T;
    const goals = new Map<Name, Goal>();
    for (const name of NAMES) {
      const closed = (await statusOf(name)).state === 'closed';
      goals.set(name, closed ? 'up' : oneOf<Goal>(['up', 'down', 'down --unmount', 'down --unmount']));
    }
    const kind = oneOf(KINDS);
    const isThere = (await desk.rdc(`repo status ${FOURTH}`)).exitCode === 0;
    const fourth = isThere ? `repo delete ${FOURTH} --yes` : `repo create ${FOURTH} --size 64M`;
    const lines = [...[...goals].map(([name, goal]) => line(name, goal)), fourth];
    const started = lines.map((words) => ({ words, command: desk.start(words) }));
    await sleep(random() * (BRIEF.includes(kind) ? 0 : LONGEST_WAIT));
    const killed = await vm.root('bash -s', { input: killScript(kind, Math.floor(random() * 1000)), timeoutMs: LIMIT });
    const startedAt = performance.now();
    await vm.root('for i in $(seq 300); do systemctl is-active -q rediacc-agent && exit 0; sleep 0.2; done; exit 1');
    const notes: string[] = [];
    for (const { words, command } of started) {
      const code = await endOf(command, `seed ${one}, killed "${killed}": rdc ${words}`);
      if (code !== 0) {
        const again = await desk.rdc(`${words} --wait`, { timeoutMs: LIMIT });
        const told = `${command.said()}\n--- again\n${again.stdout}\n${again.stderr}`;
        expect(again.exitCode, `seed ${one}, killed "${killed}": ${words}\n${told}`).toBe(0);
      }
      notes.push(`${words.replace('repo ', '')}: ${code === 0 ? 'done' : `exit code ${code}, then done`}`);
    }
    for (const value of await credentialsOf(desk)) credentials.add(value);
    for (const [name, goal] of goals) await expectState(name, goal, `seed ${one}, killed "${killed}"`);
    expect((await desk.rdc(`repo status ${FOURTH}`)).exitCode, `seed ${one}: ${FOURTH}`).toBe(isThere ? 10 : 0);
    if (!killed.startsWith(INSTEAD)) struck.set(kind, (struck.get(kind) ?? 0) + 1);
    const seconds = Math.round((performance.now() - startedAt) / 1000);
    table.push(
      `${String(one).padStart(4)}  ${kind.padEnd(10)}  ${killed.padEnd(40).slice(0, 40)}  ${notes.join('; ')}; ${seconds} s`,
    );
  });

  // With fewer a kind may have had no turn.
  if (kills >= 50) {
    test('every kind of process was struck', () => {
      console.log([...struck].map(([kind, times]) => `${kind} ${times}`).join(', '));
      expect([...struck.keys()].sort()).toEqual([...KINDS].sort());
    });
  }

  test('at the end all are closed, nothing of them is left, and what they hold is what was put in', async () => {
    for (const [name, status] of subjects) {
      await desk.done(`repo down ${name} --unmount`);
      expect(await remainsOf(vm, status), name).toEqual([]);
      await desk.done(`repo mount ${name}`);
      expect(await vm.root(`cat ${status.mountPoint}/kept`)).toBe(`of ${name}`);
      // The control: what is open is seen.
      expect(await remainsOf(vm, status)).not.toEqual([]);
    }
    expect(await vm.root('sort -u /sys/fs/ext4/*/errors_count')).toBe('0');
  });

  test('no credential lies on its disks', async () => {
    await expectNoCredential({ vm, desk }, { earlier: credentials });
  });
}

/** Waits for a process of the kind, kills one of them, and prints it; the agent where none comes. */
function killScript(kind: keyof typeof VICTIMS, pick: number): string {
  return `strike() {
      [ -n "$1" ] || return 1
      pid=$(echo "$1" | sed -n "$((${pick} % $(echo "$1" | wc -l) + 1))p")
      what=$(ps -o comm=,args= -p $pid | cut -c1-60)
      kill -9 $pid && echo "$what"
    }
    for i in $(seq 100); do strike "$(${VICTIMS[kind]} 2>/dev/null)" 2>/dev/null && exit 0; sleep 0.05; done
    printf '${INSTEAD}'
    until strike "$(${VICTIMS.agent})"; do sleep 0.2; done`;
}

async function endOf({ ended, said, child }: ReturnType<Desk['start']>, title: string): Promise<number | null> {
  const timer = setTimeout(() => child.kill('SIGKILL'), LIMIT);
  const code = await ended;
  clearTimeout(timer);
  // null: it was ended by us.
  expect(code, `${title} does not end\n${said()}`).not.toBeNull();
  return code;
}

/** What comes after waiting for a process of the kind in vain. */
const INSTEAD = 'none; instead ';

/** The machine may still be starting a daemon again by itself. */
async function expectState(name: Name, goal: Goal, title: string): Promise<void> {
  const { guid, networkId, mountPoint } = subjects.get(name) as Status;
  const deadline = Date.now() + LIMIT;
  const right: readonly string[] = GOALS[goal];
  let { state } = await statusOf(name);
  while (!right.includes(state) && Date.now() < deadline) {
    await sleep(1000);
    ({ state } = await statusOf(name));
  }
  expect(right, `${title}: "${name}" after ${goal} is ${state}`).toContain(state);
  if (goal === 'up') expect(await vm.root(`cd ${mountPoint}; cat kept marker`), title).toBe(`of ${name}\nup`);
  if (goal === 'up' && name === SERVING) await expectCounting(mountPoint, title);
  if (goal === 'down --unmount') expect(await remainsOf(vm, { guid, networkId }), title).toEqual([]);
}

/** It goes on counting, from where it was the last time. */
async function expectCounting(mountPoint: string, title: string): Promise<void> {
  const count = async () => Number(await vm.root(`cat ${mountPoint}/state/count || echo 0`));
  // Once more what it had got to, as it may not have been started again yet; never less.
  const before = await count();
  expect(before, title).toBeGreaterThanOrEqual(counted);
  await expect.poll(count, { timeout: LIMIT, interval: 1000, message: title }).toBeGreaterThan(before);
  counted = await count();
}
