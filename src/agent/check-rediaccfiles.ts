// Told before anything runs: a Rediaccfile that bash cannot read.
import { command } from '../lifecycle/command.ts';
import type { Rediaccfile } from '../lifecycle/rediaccfile.ts';
import type { System } from '../lifecycle/system.ts';
import { RdcError } from '../protocol/errors.ts';

/** `bash -n` on each; throws INVALID_INPUT with bash's own words, which name file and line. */
export async function checkRediaccfiles(system: System, files: readonly Rediaccfile[]): Promise<void> {
  for (const { path, file } of files) {
    const check = { ...command('bash', '--noprofile', '--norc', '-n', `./${file}`), cwd: path, allow: [1, 2, 127] };
    const { exitCode, stderr } = await system.run(check);
    if (exitCode === 0) continue;
    throw new RdcError(
      'INVALID_INPUT',
      `${path}/${file} is not valid bash: ${stderr.trim().split('\n')[0] ?? `exit code ${exitCode}`}`,
    );
  }
}
