// What the .env of a directory adds to the environment of its functions, and what it may not touch.
import { RdcError } from '../protocol/errors.ts';
import { formatSize } from '../protocol/size.ts';
import { parseEnvFile } from './env-file.ts';
import { isFileInside, kindOf } from './inside-mount.ts';
import { nameOf, type Rediaccfile } from './rediaccfile.ts';
import type { System } from './system.ts';

const MOST_BYTES = 64 * 1024;

/** The contract's names, and what changes how bash itself or the loader works (bash(1), ld.so(8)). */
const RESERVED =
  /^(?:REPOSITORY_.*|REDIACC_.*|DOCKER_HOST|DOCKER_CONFIG|DOCKER_CONTEXT|HOME|PATH|LD_.*|GLIBC_TUNABLES|ENV|BASH.*|IFS|SHELLOPTS|POSIXLY_CORRECT|PS4|CDPATH|GLOBIGNORE|PWD|OLDPWD|SHLVL|_)$/;
/** Only compose can use them, and it reads the file itself: no variable of a shell, or one that bash does not give away. */
const NOT_FOR_BASH = /^(?:EUID|UID|PPID|.*[^A-Za-z0-9_].*|[0-9].*)$/;

/**
 * By name. Empty where there is no .env, or a directory of that name, as Python's tools make them. Throws INVALID_INPUT
 * with file and line, never with a value.
 */
export async function readSettings(
  system: System,
  mountPoint: string,
  rediaccfile: Rediaccfile,
  environment: Readonly<Record<string, string>>,
): Promise<Map<string, string>> {
  const path = `${rediaccfile.path}/.env`;
  const name = nameOf({ ...rediaccfile, file: '.env' });
  const found = await system.stat(path);
  if (found === undefined || found.kind === 'directory') return new Map();
  if (!(await isFileInside(system, mountPoint, path))) {
    throw new RdcError('INVALID_INPUT', `${name} ${await kindOf(system, path)}`, {
      hint: 'a .env is a plain file, or a link to one inside of the repository',
    });
  }
  const text = found.sizeBytes > MOST_BYTES ? undefined : await system.readFile(path);
  if (text === undefined || Buffer.byteLength(text) > MOST_BYTES) {
    throw new RdcError('INVALID_INPUT', `${name} is larger than the ${formatSize(MOST_BYTES)} that a .env may have`);
  }
  const settings = new Map<string, string>();
  const faults: string[] = [];
  let hint: string | undefined;
  try {
    for (const { name: key, value, line } of parseEnvFile({ path: name, text, environment })) {
      if (RESERVED.test(key) || isServiceAddress(key, environment)) {
        faults.push(`${name}: line ${line} sets ${key}, which is not a .env's to set`);
        hint = 'give the variable another name';
      } else if (value.includes('\0')) faults.push(`${name}: line ${line} has a NUL in its value`);
      else if (!NOT_FOR_BASH.test(key)) settings.set(key, value);
    }
  } catch (error) {
    // What comes after it cannot be read; what was wrong before it is told as well.
    if (!(error instanceof RdcError)) throw error;
    faults.push(error.message);
  }
  if (faults.length > 0) throw new RdcError('INVALID_INPUT', faults.join('\n'), { hint });
  return settings;
}

function isServiceAddress(key: string, environment: Readonly<Record<string, string>>): boolean {
  return key.endsWith('_IP') && Object.hasOwn(environment, key);
}
