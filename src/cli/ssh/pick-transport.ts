// Which ssh client to use.
import { access, constants } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { RdcError } from '../../protocol/errors.ts';
import type { BuiltinDeps } from './builtin-auth.ts';
import type { SshTransport } from './transport.ts';

export interface PickOptions extends BuiltinDeps {
  prefer?: 'openssh' | 'builtin' | 'auto';
  /** Path of a program, or undefined where it is not installed. */
  which(program: string): Promise<string | undefined>;
}

/** The system's OpenSSH where there is one, else the built-in client. Throws TOOL_MISSING when OpenSSH is asked for and absent. */
export async function pickTransport({ prefer = 'auto', which, ...deps }: PickOptions): Promise<SshTransport> {
  const ssh = prefer === 'builtin' ? undefined : await which('ssh');
  if (ssh !== undefined) return (await import('./openssh.ts')).openSshTransport(ssh);
  if (prefer === 'openssh') {
    throw new RdcError('TOOL_MISSING', 'ssh is not installed', { hint: 'apt-get install openssh-client' });
  }
  return (await import('./builtin.ts')).builtinTransport(deps);
}

/** Looks a program up as a shell would; on Windows also where its own OpenSSH lies. */
export async function findProgram(program: string, env: NodeJS.ProcessEnv): Promise<string | undefined> {
  const windows = process.platform === 'win32';
  const directories = (env.PATH ?? '').split(delimiter).filter((directory) => directory !== '');
  if (windows) directories.push(join(env.SystemRoot ?? 'C:\\Windows', 'System32', 'OpenSSH'));
  for (const directory of directories) {
    const path = join(directory, windows ? `${program}.exe` : program);
    if (await isExecutable(path)) return path;
  }
  return undefined;
}

async function isExecutable(path: string): Promise<boolean> {
  return await access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}
