// The real rsync through our remote shell, a real sshd and the contract's stream session.
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { findProgram } from '../../../src/cli/ssh/pick-transport.ts';
import type { ShellReference } from '../../../src/cli/ssh/remote-shell.ts';
import { type SyncDeps, type SyncProgress, type SyncRequest, syncFiles } from '../../../src/cli/sync-transport.ts';
import { repoNameSchema } from '../../../src/protocol/ids.ts';
import { bundle, fakeAgent } from './fake-agent-bundle.ts';
import { freePort, startSshd, type TestSshd } from './sshd.ts';

let sshd: TestSshd;
let base: string;
let shell: string[];
let local: string;
let remote: string;
const repo = repoNameSchema.parse('shop');

beforeAll(async () => {
  if (!existsSync('/usr/bin/rsync')) throw new Error('these tests need rsync: apt-get install rsync');
  base = mkdtempSync(join(tmpdir(), "rdc it's sync "));
  sshd = await startSshd('MaxSessions 1', { FAKE_REPOSITORIES: `${base}/server` });
  writeFileSync(join(base, 'rsh.mjs'), await bundle('./remote-shell-main.ts'));
  writeFileSync(join(sshd.bin, 'agent.mjs'), (await fakeAgent('0.1.0')).content);
  writeFileSync(join(sshd.bin, 'renet'), `#!/bin/sh\nexec ${process.execPath} "${sshd.bin}/agent.mjs" "$@"\n`);
  chmodSync(join(sshd.bin, 'renet'), 0o755);
  shell = [process.execPath, join(base, 'rsh.mjs')];
});
afterAll(async () => {
  await sshd.stop();
  rmSync(base, { recursive: true, force: true });
});
beforeEach(() => {
  local = join(base, 'local: -dir');
  remote = join(base, 'server', 'shop');
  for (const directory of [local, remote]) {
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory, { recursive: true });
  }
});

describe.each(['openssh', 'builtin'] as const)('%s', (client) => {
  function reference(changes: Partial<ShellReference['target']> = {}, directory = ''): ShellReference {
    const target = { ...sshd.target(), ...changes, hostKeys: [...(changes.hostKeys ?? sshd.target().hostKeys)] };
    return { client, target, repo, directory, version: '0.1.0', actor: 'anna@desk', tty: false, launcher: 'renet' };
  }
  function deps(changes: Partial<SyncDeps> = {}): SyncDeps {
    return { which: (program) => findProgram(program, process.env), shell, env: process.env, ...changes };
  }
  function request(changes: Partial<SyncRequest> = {}): SyncRequest {
    return { direction: 'upload', local, remote: '', ...changes };
  }

  test('uploads files, links and modes; a second time copies nothing', async () => {
    mkdirSync(join(local, 'app'));
    writeFileSync(join(local, 'app', "a 'b' $(c) ü.txt"), 'hello');
    writeFileSync(join(local, 'run.sh'), '#!/bin/sh\n', { mode: 0o755 });
    symlinkSync('run.sh', join(local, 'link'));
    const first = await syncFiles(request(), reference(), deps());
    expect(first).toMatchObject({ filesTransferred: 2, filesDeleted: 0 });
    expect(readFileSync(join(remote, 'app', "a 'b' $(c) ü.txt"), 'utf8')).toBe('hello');
    expect(statSync(join(remote, 'run.sh')).mode & 0o777).toBe(0o755);
    expect(readdirSync(remote).sort()).toEqual(['app', 'link', 'run.sh']);
    expect(await syncFiles(request(), reference(), deps())).toMatchObject({ filesTransferred: 0 });
  });

  test('an edit of the same size within the same second is copied', async () => {
    const file = join(local, 'config');
    writeFileSync(file, 'old');
    utimesSync(file, 1_700_000_000.1, 1_700_000_000.1);
    await syncFiles(request(), reference(), deps());
    writeFileSync(file, 'new');
    utimesSync(file, 1_700_000_000.2, 1_700_000_000.2);
    await syncFiles(request(), reference(), deps());
    expect(readFileSync(join(remote, 'config'), 'utf8')).toBe('new');
  });

  test('an edit that keeps size and time is found by checksum', async () => {
    const file = join(local, 'config');
    for (const text of ['old', 'new']) {
      writeFileSync(file, text);
      utimesSync(file, 1_700_000_000, 1_700_000_000);
      await syncFiles(request({ checksum: text === 'new' }), reference(), deps());
    }
    expect(readFileSync(join(remote, 'config'), 'utf8')).toBe('new');
  });

  test('a dry run lists what would be done and does nothing', async () => {
    writeFileSync(join(local, 'new.txt'), 'x');
    writeFileSync(join(remote, 'old\nname.txt'), 'x');
    const { changes } = await syncFiles(request({ dryRun: true, mirror: true }), reference(), deps());
    expect(changes).toContainEqual({ kind: 'delete', isNew: false, path: 'old\nname.txt' });
    expect(changes).toContainEqual({ kind: 'file', isNew: true, path: 'new.txt' });
    expect(readdirSync(remote)).toEqual(['old\nname.txt']);
  });

  test('mirror deletes, but never what is ours', async () => {
    writeFileSync(join(local, 'new.txt'), 'x');
    for (const name of ['.rediacc/docker', 'lost+found', 'stale']) mkdirSync(join(remote, name), { recursive: true });
    writeFileSync(join(remote, '.rediacc.json'), '{}');
    const result = await syncFiles(request({ mirror: true }), reference(), deps());
    expect(result.filesDeleted).toBe(1);
    expect(readdirSync(remote).sort()).toEqual(['.rediacc', '.rediacc.json', 'lost+found', 'new.txt']);
  });

  test('downloads into a directory, without our own files', async () => {
    mkdirSync(join(remote, 'data', 'deep'), { recursive: true });
    writeFileSync(join(remote, 'data', 'deep', 'file'), 'content');
    writeFileSync(join(remote, '.rediacc.json'), '{}');
    await syncFiles(request({ direction: 'download' }), reference(), deps());
    expect(readFileSync(join(local, 'data', 'deep', 'file'), 'utf8')).toBe('content');
    expect(existsSync(join(local, '.rediacc.json'))).toBe(false);
    rmSync(join(local, 'data'), { recursive: true });
    await syncFiles(request({ direction: 'download', remote: 'data/deep' }), reference({}, 'data/deep'), deps());
    expect(readdirSync(local)).toEqual(['file']);
  });

  test('progress ends at all of it', async () => {
    writeFileSync(join(local, 'big'), Buffer.alloc(30 * 1024 ** 2, 'x'));
    const seen: SyncProgress[] = [];
    await syncFiles(request(), reference(), deps({ onProgress: (progress) => seen.push(progress) }));
    expect(seen.at(-1)).toMatchObject({ bytes: 30 * 1024 ** 2, percent: 100 });
    expect(execFileSync('cmp', [join(local, 'big'), join(remote, 'big')]).length).toBe(0);
  });

  test('the reason is the session’s, not rsync’s', async () => {
    const changed = reference({ hostKeys: [sshd.publicKey('other-host')] });
    await expect(syncFiles(request(), changed, deps())).rejects.toMatchObject({ code: 'HOST_KEY' });
    const nobody = reference({ port: await freePort() });
    await expect(syncFiles(request(), nobody, deps())).rejects.toMatchObject({ code: 'UNREACHABLE' });
    const bare = { ...reference(), launcher: '/nonexistent/renet' };
    await expect(syncFiles(request(), bare, deps())).rejects.toMatchObject({ code: 'NOT_SET_UP' });
  });

  test('an interrupted sync says so', async () => {
    writeFileSync(join(local, 'big'), Buffer.alloc(50 * 1024 ** 2, 'x'));
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 200);
    const run = syncFiles(request(), reference(), deps({ signal: controller.signal }));
    await expect(run).rejects.toMatchObject({ code: 'INTERRUPTED' });
  });

  test('a file that cannot be read makes it partial', async () => {
    writeFileSync(join(local, 'good'), 'x');
    mkdirSync(join(remote, 'taken', 'inside'), { recursive: true });
    writeFileSync(join(local, 'taken'), 'a file where a directory with content is');
    await expect(syncFiles(request(), reference(), deps())).rejects.toMatchObject({ code: 'PARTIAL' });
    expect(existsSync(join(remote, 'good'))).toBe(true);
  });
});

test('a missing or too old rsync is named', async () => {
  const target = { ...sshd.target(), hostKeys: [] };
  const reference: ShellReference = {
    client: 'openssh',
    target,
    repo,
    directory: '',
    version: '0.1.0',
    actor: 'a',
    tty: false,
  };
  const request: SyncRequest = { direction: 'upload', local, remote: '' };
  const old = join(base, 'rsync');
  writeFileSync(old, '#!/bin/sh\necho "rsync  version 2.6.9  protocol version 29"\n', { mode: 0o755 });
  for (const path of [undefined, old]) {
    const deps = { which: async () => path, shell: [], env: process.env };
    await expect(syncFiles(request, reference, deps)).rejects.toMatchObject({ code: 'TOOL_MISSING' });
  }
});
