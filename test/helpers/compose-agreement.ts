// Asks the real docker compose of a machine about directories of compose files, in one login.

/**
 * For bash, in the directory that holds them. Some are made to eat memory and time, so each call is bounded, and an end by
 * the bound is a refusal.
 */
export function agreementScript(names: readonly string[]): string {
  return `
    ask() {
      local said code
      said=$(cd "$1" && ulimit -v 4000000 -t 30 && timeout 120 docker compose --profile '*' config --services </dev/null 2>/dev/null)
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
