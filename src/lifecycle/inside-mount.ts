// What a path of the repository really is: its author may put links there, and nothing of the host may be read or run
// through one. Programs are started only for links and for what is refused.
import { command } from './command.ts';
import type { System } from './system.ts';

/** A plain file, or a link that ends at one inside of the mount. Opens nothing: a FIFO would not answer. */
export async function isFileInside(system: System, mountPoint: string, path: string): Promise<boolean> {
  const kind = (await system.stat(path))?.kind;
  if (kind !== 'symlink') return kind === 'file';
  const target = await realPathInside(system, mountPoint, path);
  return target !== undefined && (await system.stat(`${mountPoint}/${target}`))?.kind === 'file';
}

/** Relative to the mount, "" is the mount itself; undefined: it leads out of it, or nowhere. */
export async function realPathInside(system: System, mountPoint: string, path: string): Promise<string | undefined> {
  const real = { ...command('realpath', '--canonicalize-existing', '--zero', '--', mountPoint, path), allow: [1] };
  const [mount, target] = (await system.run(real)).stdout.split('\0');
  if (mount === undefined || target === undefined || target === '') return undefined;
  if (target === mount) return '';
  return target.startsWith(`${mount}/`) ? target.slice(mount.length + 1) : undefined;
}

/** For a message about what is no file: "is a fifo", "is a link that leads to nothing". */
export async function kindOf(system: System, path: string): Promise<string> {
  const words = async (...options: string[]) => {
    const asked = { ...command('stat', ...options, '--format=%F', '--', path), allow: [1] };
    return (await system.run(asked)).stdout.trim();
  };
  const kind = await words();
  if (kind !== 'symbolic link') return `is a ${kind}, no file`;
  const target = await words('--dereference');
  if (target === '') return 'is a link that leads to nothing';
  return /^regular/.test(target) ? 'is a link that leads out of the repository' : `is a link to a ${target}, no file`;
}
