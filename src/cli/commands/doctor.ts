// rdc doctor: whether this workstation has what rdc needs. Looks only; machines have checks of their own.
import { execFile } from 'node:child_process';
import { access, stat } from 'node:fs/promises';
import { RdcError } from '../../protocol/errors.ts';
import type { Check } from '../../protocol/operations.ts';
import { renderChecks } from '../check-text.ts';
import { type Command, defineCommand } from '../command.ts';
import type { CommandContext } from '../context.ts';

/** package.json engines. */
const OLDEST_NODE = [20, 19] as const;

export const doctor: Command = defineCommand({
  name: 'doctor',
  summary: 'check this workstation',
  details: 'Looks at node, ssh, rsync and the files of rdc, and says what to do about what is missing.',
  args: {},
  options: {},
  changes: 'nothing',
  async run(command) {
    const { io } = command;
    const checks = [
      checkNode(process.versions.node),
      await checkSsh(command),
      await checkRsync(command),
      await checkFile(command, 'config'),
      await checkFile(command, 'credentials'),
      await checkAgent(command),
    ];
    const fit = checks.every(({ status }) => status !== 'failed');
    io.print(renderChecks(checks, io.paintOut));
    io.printJson({ checks, fit });
    return fit ? undefined : 'FAILED';
  },
});

function checkNode(version: string): Check {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [oldestMajor, oldestMinor] = OLDEST_NODE;
  const ok = major > oldestMajor || (major === oldestMajor && minor >= oldestMinor);
  const fix = ok ? {} : { fix: `install Node ${oldestMajor}.${oldestMinor} or later` };
  return { id: 'node', title: 'Node', status: ok ? 'ok' : 'failed', found: version, ...fix };
}

async function checkSsh(command: CommandContext): Promise<Check> {
  const about = { id: 'ssh', title: 'OpenSSH' };
  const path = await command.which('ssh');
  if (path === undefined) {
    const fix =
      'the built-in client serves; for ~/.ssh/config, hardware keys and jump hosts: apt-get install openssh-client';
    return { ...about, status: 'warning', found: 'not installed', fix };
  }
  return { ...about, status: 'ok', found: firstLine(await outputOf(path, ['-V'])) };
}

async function checkRsync(command: CommandContext): Promise<Check> {
  const about = { id: 'rsync', title: 'rsync' };
  const path = await command.which('rsync');
  if (path === undefined) {
    return { ...about, status: 'warning', found: 'not installed', fix: 'for rdc sync: apt-get install rsync' };
  }
  return { ...about, status: 'ok', found: firstLine(await outputOf(path, ['--version'])) };
}

/** Both streams: ssh tells its version on stderr. */
function outputOf(program: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve) => {
    execFile(program, args, { timeout: 10_000 }, (_error, stdout, stderr) => resolve(`${stdout}${stderr}`));
  });
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0]?.trim() ?? '';
}

async function checkFile({ config, credentials }: CommandContext, which: 'config' | 'credentials'): Promise<Check> {
  const file = which === 'config' ? config : credentials;
  const about = { id: which, title: `${which}.json` };
  try {
    await (which === 'config' ? config.read() : credentials.known());
  } catch (error) {
    if (!(error instanceof RdcError)) throw error;
    return {
      ...about,
      status: 'failed',
      found: error.message,
      ...(error.hint === undefined ? {} : { fix: error.hint }),
    };
  }
  const found = await stat(file.path).catch(() => undefined);
  if (found === undefined) return { ...about, status: 'ok', found: `none yet (${file.path})` };
  const readable = which === 'credentials' && (found.mode & 0o077) !== 0 && process.platform !== 'win32';
  if (readable) return { ...about, status: 'failed', found: 'others can read it', fix: `chmod 600 ${file.path}` };
  return { ...about, status: 'ok', found: file.path };
}

async function checkAgent({ agentBundle }: CommandContext): Promise<Check> {
  const about = { id: 'agent', title: 'agent bundle' };
  const there = await access(agentBundle).then(
    () => true,
    () => false,
  );
  if (there) return { ...about, status: 'ok', found: agentBundle };
  return {
    ...about,
    status: 'failed',
    found: `${agentBundle} is missing`,
    fix: 'install rdc again, or in a clone: npm run build',
  };
}
