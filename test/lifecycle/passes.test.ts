import { describe, expect, it } from 'vitest';
import type { Command } from '../../src/lifecycle/command.ts';
import type { FunctionName } from '../../src/lifecycle/function-call.ts';
import { runPass } from '../../src/lifecycle/passes.ts';
import { findRediaccfiles } from '../../src/lifecycle/rediaccfile.ts';
import type { RunEvent } from '../../src/protocol/events.ts';
import { type Answer, scriptedSystem } from '../helpers/scripted-system.ts';
import { shopTarget } from '../helpers/target.ts';

const target = shopTarget();
const mount = target.paths.mountPoint;
const FILES = {
  [`${mount}/rediaccfile`]: '',
  [`${mount}/web/Rediaccfile`]: '',
  [`${mount}/Zoo/REDIACCFILE`]: '',
  [`${mount}/api/Rediaccfile`]: '',
  [`${mount}/.hidden/Rediaccfile`]: '',
  [`${mount}/api/deeper/Rediaccfile`]: '',
};

/** Runs one pass and tells which directories were called, in order. */
async function pass(name: FunctionName, answer: (directory: string) => Answer = () => ({})) {
  const directoryOf = ({ args }: Command) => {
    const path = args.at(-1) ?? '';
    return path === mount ? 'root' : path.slice(mount.length + 1);
  };
  // As the wrapper and systemd-run would talk.
  const system = scriptedSystem((command) => {
    const words = { stderr: `MARK called\nMARK ended\n`, ...answer(directoryOf(command)) };
    const result = (words.exitCode ?? 0) === 0 ? 'success' : 'exit-code';
    return { ...words, stderr: `${words.stderr}Finished with result: ${result}\n` };
  }, FILES);
  const events: RunEvent[] = [];
  const request = {
    system,
    report: (event: RunEvent) => events.push(event),
    target,
    name,
    rediaccfiles: await findRediaccfiles(system, mount),
    environmentOf: () => ({}),
    settingsOf: () => new Map<string, string>(),
    faultOf: () => undefined,
    runId: 'r1',
    mark: 'MARK',
    timeoutMs: undefined,
    host: { resolvConf: undefined, dockerData: undefined },
  };
  const result = runPass(request);
  return { result, called: () => system.commands.map(directoryOf), events };
}

describe('passes', () => {
  it('go from the root through the first-level directories in byte order; down goes back', async () => {
    const up = await pass('up');
    await up.result;
    expect(up.called()).toEqual(['root', 'Zoo', 'api', 'web']);
    const down = await pass('down');
    await down.result;
    expect(down.called()).toEqual(['web', 'api', 'Zoo', 'root']);
  });

  it('stop at the first prep that fails', async () => {
    const { result, called } = await pass('prep', (directory) => (directory === 'Zoo' ? { exitCode: 7 } : {}));
    await expect(result).rejects.toMatchObject({
      code: 'FUNCTION_FAILED',
      message: expect.stringContaining('Zoo/REDIACCFILE'),
    });
    expect(called()).toEqual(['root', 'Zoo']);
  });

  it('stop when the up of the root fails, and go on when one of a directory does', async () => {
    const root = await pass('up', (directory) => (directory === 'root' ? { exitCode: 1 } : {}));
    await expect(root.result).rejects.toMatchObject({ code: 'FUNCTION_FAILED' });
    expect(root.called()).toEqual(['root']);
    const web = await pass('up', (directory) => (directory === 'api' ? { exitCode: 4 } : {}));
    expect(await web.result).toEqual([{ where: 'api up', reason: 'exit code 4' }]);
    expect(web.called()).toEqual(['root', 'Zoo', 'api', 'web']);
  });

  it('call every down, whatever fails', async () => {
    const { result, called } = await pass('down', () => ({ exitCode: 1 }));
    expect((await result).map(({ where }) => where)).toEqual(['web down', 'api down', 'Zoo down', 'root down']);
    expect(called()).toHaveLength(4);
  });

  it('skip a function that is not there without a word of output', async () => {
    const { result, events } = await pass('prep', () => ({ stderr: 'MARK undefined\nMARK ended\n' }));
    expect(await result).toEqual([]);
    expect(events.filter((event) => event.kind === 'output')).toEqual([]);
    expect(events.filter((event) => event.kind === 'step' && event.state === 'skipped')).toHaveLength(4);
  });
});

it('two Rediaccfiles in one directory are refused by name', async () => {
  const system = scriptedSystem(() => ({}), { [`${mount}/Rediaccfile`]: '', [`${mount}/rediaccfile`]: '' });
  await expect(findRediaccfiles(system, mount)).rejects.toThrow(/two Rediaccfiles: Rediaccfile and rediaccfile/);
});
