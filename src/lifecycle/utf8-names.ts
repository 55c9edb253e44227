// Names of files are bytes (path_resolution(7)); ours are text. A directory whose name is no UTF-8 cannot be named in a
// unit, an event or a message as it is, so a Rediaccfile in it is refused; other things may be called what they will.
import { RdcError } from '../protocol/errors.ts';
import { command } from './command.ts';
import type { System } from './system.ts';

/** `names` are the mount's, decoded. Throws INVALID_INPUT with the path in bash's own spelling ($'caf\xe9'). */
export async function refuseForeignNames(system: System, mountPoint: string, names: readonly string[]): Promise<void> {
  if (!names.some((name) => name.includes('\uFFFD'))) return;
  const chunks: Buffer[] = [];
  const search = command('find', '.', '-mindepth', '2', '-maxdepth', '2', '-iname', 'rediaccfile', '-print0');
  await system.run({ ...search, cwd: mountPoint }, (stream, chunk) => {
    if (stream === 'stdout') chunks.push(chunk);
  });
  const all = Buffer.concat(chunks);
  for (let start = 0; start < all.length; ) {
    const end = all.indexOf(0, start);
    const name = all.subarray(start, end);
    start = end + 1;
    if (name.toString('latin1').startsWith('./.') || Buffer.from(name.toString('utf8')).equals(name)) continue;
    throw new RdcError('INVALID_INPUT', `in ${mountPoint}: the name of the directory of ${spelled(name)} is no UTF-8`, {
      hint: `on the server: cd ${mountPoint} && mv ${spelled(name.subarray(0, name.lastIndexOf(0x2f)))} NEW-NAME`,
    });
  }
}

function spelled(name: Buffer): string {
  const text = [...name].map((byte) =>
    byte < 0x20 || byte > 0x7e || byte === 0x27 || byte === 0x5c
      ? `\\x${byte.toString(16).padStart(2, '0')}`
      : String.fromCharCode(byte),
  );
  return `$'${text.join('')}'`;
}
