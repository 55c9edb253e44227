// Asks the real docker compose of a machine about directories of compose files, in one login.

/** In test/fixtures/compose: what people have most, and what compose-go is particular about. All 114 take many minutes in an emulated machine. */
export const REPRESENTATIVE = [
  ...[
    '004-override',
    '007-merge-lists',
    '010-extends-same',
    '013-extends-cycle',
    '017-include-short',
    '022-include-conflict',
  ],
  ...[
    '033-profiles',
    '048-reset-service',
    '054-unknown-tag',
    '058-duplicate-in-x',
    '060-multi-document',
    '068-bool-name',
  ],
  ...[
    '084-bom',
    '092-no-image',
    '098-env-compose-file',
    '101-depends-on-missing',
    '107-merge-quoted',
    '114-real-world',
  ],
];

/**
 * For bash, in the directory that holds them. Some are made to eat memory and time, so each call is bounded, and an end by
 * the bound is a refusal.
 */
export function agreementScript(names: readonly string[]): string {
  return `
    ask() {
      local said code
      said=$(cd "$1" && ulimit -v 4000000 && timeout 60 docker compose --profile '*' config --services </dev/null 2>/dev/null)
      code=$?
      echo "$1 $code" $(LC_ALL=C sort <<<"$said")
    }
    export -f ask
    printf '%s\\n' ${names.join(' ')} | xargs -P 2 -I{} bash -c 'ask {}'`;
}

/** By name, as expected.json has it. */
export function parseAgreement(text: string): Map<string, { services: string[] } | { refused: true }> {
  const answers = text.split('\n').flatMap((line) => {
    const [name, code, ...services] = line.split(' ');
    return name === undefined || code === undefined
      ? []
      : [[name, code === '0' ? { services } : { refused: true as const }] as const];
  });
  return new Map(answers);
}
