// Options and arguments that several commands share, worded once.
import { parseDuration } from '../../protocol/duration.ts';
import { machineNameSchema, repoRefSchema } from '../../protocol/ids.ts';
import { OPERATIONS } from '../../protocol/operations.ts';
import { argument, flag, listOption, option } from '../command.ts';
import { parseValue, parseWith } from '../parse.ts';

export const repoArgument = argument('NAME', 'the repository', parseWith(repoRefSchema));
export const machineArgument = argument('MACHINE', 'the machine', parseWith(machineNameSchema));

/** For commands on a repository, whose machine is usually known. */
export const machineOfRepo = option(
  '-m, --machine <name>',
  'the machine; not needed where the repository is recorded or the context has one machine only',
  parseWith(machineNameSchema),
);

export const machineOption = option(
  '-m, --machine <name>',
  'the machine; not needed where the context has one machine only',
  parseWith(machineNameSchema),
);

export const timeoutOption = option(
  '--timeout <duration>',
  'longest time for each function of a Rediaccfile, e.g. 10m; without it there is no limit',
  (text) => parseValue(OPERATIONS['repo.up'].input.shape.timeoutMs, parseDuration(text)),
);

export const yes = flag('-y, --yes', 'do not ask');

/** Where a credential comes from when credentials.json is not to be used. */
export const credentialSource = {
  credentialCommand: option(
    '--credential-command <command>',
    'take the credential from the first line that this shell command prints, e.g. "pass show prod/shop"',
  ),
  credentialStdin: flag('--credential-stdin', 'take the credential from the first line of stdin'),
};

export const mirrors = listOption(
  '--registry-mirror <url>',
  'where repositories pull Docker Hub images from, e.g. http://10.0.2.15:5000; may be repeated',
);
