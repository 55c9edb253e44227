// Which server-side rsync command lines are accepted. The words come from a client: only what is known to be harmless
// inside one directory passes, and the paths are ours. Pure. Recorded from rsync 3.2.7 to 3.5 in test/agent.
import { RdcError } from '../protocol/errors.ts';

const NUMBER = /^-?\d{1,10}$/;
const WORD = /^[A-Za-z0-9,]+$/;

/** Long options by what their value must look like; `undefined`: they have none. */
const LONG_OPTIONS: Readonly<Record<string, RegExp | undefined>> = {
  '--bwlimit': NUMBER,
  '--checksum-choice': WORD,
  '--compress-choice': WORD,
  '--compress-level': NUMBER,
  '--delete': undefined,
  '--delete-after': undefined,
  '--delete-before': undefined,
  '--delete-delay': undefined,
  '--delete-during': undefined,
  '--delete-excluded': undefined,
  '--force': undefined,
  '--fsync': undefined,
  '--ignore-errors': undefined,
  '--info': WORD,
  '--inplace': undefined,
  '--log-format': /^(?:%i|%i%I|%o|X)$/,
  '--max-delete': NUMBER,
  '--modify-window': NUMBER,
  '--new-compress': undefined,
  '--no-group': undefined,
  '--no-owner': undefined,
  '--numeric-ids': undefined,
  '--old-compress': undefined,
  '--partial': undefined,
  // A hidden directory beside the file, never a path.
  '--partial-dir': /^\.[\w-]+$/,
  '--prune-empty-dirs': undefined,
  '--safe-links': undefined,
  '--timeout': NUMBER,
};

/**
 * Not among them: "s" (the real arguments would come in the stream, past this check), "R" (paths of the client's choice),
 * "L", "k", "K" (follow links), "o", "g", "D", "A", "X" (owners, devices, attributes), "b", "M".
 */
const LETTERS = 'nvqlHtprcdxuzISW';
/** The bundle: options, then "e." and what the client is able to do (rsync's own handshake, no options). */
const BUNDLE = new RegExp(`^-([${LETTERS}]*)(?:e[\\d.]*[A-Za-z]*)?$`);
/** --modify-window in its short form. */
const MODIFY_WINDOW = /^-@-?\d{1,10}$/;

export interface RsyncServer {
  /** true: it sends to us (download); false: it receives (upload). */
  sender: boolean;
  dryRun: boolean;
  /** Everything between "rsync --server [--sender]" and the paths. */
  options: string[];
}

/** Throws INVALID_INPUT naming the word that is not accepted. */
export function parseRsyncArgv(argv: readonly string[]): RsyncServer {
  const [program, server, ...rest] = argv;
  if (program !== 'rsync' || server !== '--server') throw refuse(`${program ?? ''} ${server ?? ''}`);
  const sender = rest[0] === '--sender';
  const words = sender ? rest.slice(1) : rest;
  // "." stands where other versions of rsync had an option's end; behind it comes one path.
  const dot = words.length - 2;
  if (words[dot] !== '.') throw refuse(words.slice(-2).join(' '));
  const options = words.slice(0, dot);
  checkOptions(options);
  const dryRun = options.some((option) => BUNDLE.exec(option)?.[1]?.includes('n') === true);
  return { sender, dryRun, options };
}

function checkOptions(options: readonly string[]): void {
  for (let index = 0; index < options.length; index++) {
    const option = options[index] ?? '';
    if (BUNDLE.test(option) || MODIFY_WINDOW.test(option)) continue;
    const [name = '', ...values] = option.split('=');
    if (!Object.hasOwn(LONG_OPTIONS, name)) throw refuse(option);
    const pattern = LONG_OPTIONS[name];
    // rsync gives some options their value as a word of its own.
    const value = values.length > 0 ? values.join('=') : pattern && options[++index];
    if (pattern === undefined ? value !== undefined : value === undefined || !pattern.test(value)) throw refuse(option);
  }
}

function refuse(word: string): RdcError {
  return new RdcError('INVALID_INPUT', `"${word}" is not accepted in a file transfer`, {
    hint: 'rdc sync has the options that are',
  });
}
