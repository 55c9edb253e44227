// Which server-side rsync command lines are accepted. The words come from a client: anything that is not known to be
// harmless inside one directory is refused, and the paths are ours. Pure.
import { RdcError } from '../protocol/errors.ts';

/** Long options that our own CLI leads rsync to send; with or without a value. */
const LONG_OPTIONS = new Set([
  '--delete',
  '--delete-delay',
  '--delete-during',
  '--delete-excluded',
  '--dirs',
  '--existing',
  '--force',
  '--ignore-errors',
  '--inplace',
  '--itemize-changes',
  '--log-format',
  '--modify-window',
  '--no-i-r',
  '--no-inc-recursive',
  '--numeric-ids',
  '--out-format',
  '--partial',
  '--partial-dir',
  '--safe-links',
  '--stats',
  '--timeout',
  '--checksum',
  '--delay-updates',
  '--fsync',
  '--new-compress',
  '--old-compress',
  '--compress-choice',
  '--compress-level',
  '--prune-empty-dirs',
  '--no-owner',
  '--no-group',
]);

export interface RsyncServer {
  /** true: it sends to us (download); false: it receives (upload). */
  sender: boolean;
  /** Everything between "rsync --server [--sender]" and the paths. */
  options: string[];
}

/** Throws INVALID_INPUT naming the word that is not accepted. */
export function parseRsyncArgv(argv: readonly string[]): RsyncServer {
  const [program, server, ...rest] = argv;
  if (program !== 'rsync' || server !== '--server') throw refuse(`${program ?? ''} ${server ?? ''}`);
  const sender = rest[0] === '--sender';
  const words = sender ? rest.slice(1) : rest;
  const dot = words.indexOf('.');
  if (dot < 0 || dot !== words.length - 2) throw refuse(words.slice(dot).join(' '));
  const options = words.slice(0, dot);
  for (const [index, option] of options.entries()) {
    // rsync sends the value of this one as a word of its own.
    const isValue = options[index - 1] === '--partial-dir';
    if (!(isValue ? isHarmlessValue('--partial-dir', option) : isHarmless(option))) throw refuse(option);
  }
  return { sender, options };
}

function isHarmless(option: string): boolean {
  if (option.startsWith('--')) {
    const [name = '', value] = option.split('=', 2);
    return LONG_OPTIONS.has(name) && (value === undefined || isHarmlessValue(name, value));
  }
  // --modify-window travels under its short name.
  if (/^-@-?\d+$/.test(option)) return true;
  // Letters up to "e" are options, what follows it are capabilities. "s" would send the real arguments in the stream,
  // past this check.
  const letters = /^-([A-Za-z]+?)(?:e[\d.]*[A-Za-z]*)?$/.exec(option)?.[1];
  return letters !== undefined && !/[sM]/.test(letters);
}

function isHarmlessValue(name: string, value: string): boolean {
  return name === '--partial-dir' ? /^\.[\w.-]+$/.test(value) : /^[\w%. -]*$/.test(value);
}

function refuse(word: string): RdcError {
  return new RdcError('INVALID_INPUT', `"${word}" is not accepted in a file transfer`);
}
