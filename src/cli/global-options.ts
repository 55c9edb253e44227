// Options that do not belong to one command, worded once for the parser, the help and the reference.

/** What stands for a bare --wait. */
export const WAIT_DEFAULT = '15m';

export const GLOBAL_OPTIONS: readonly (readonly [flags: string, summary: string])[] = [
  ['--context <name>', 'the context to work in, instead of the current one'],
  ['--json', 'print one JSON document on stdout and nothing else'],
  ['-q, --quiet', 'say nothing but warnings and errors'],
  ['-v, --verbose', 'show plans, actions and the causes of errors'],
  ['--no-color', 'no colours'],
];

/** Added to commands that change something. */
export const CHANGE_OPTIONS = {
  dryRun: ['--dry-run', 'show what would be done and change nothing'],
  detach: ['--detach', 'start it, print the run\'s id and come back; "rdc run attach" follows it'],
  wait: ['--wait <duration>', `wait for a busy repository (${WAIT_DEFAULT} where no duration is given)`],
} as const;
