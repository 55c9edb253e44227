// Where the guest's packages come from: the mirror that this system itself uses for Debian, read when the image is built.
// A system without a Debian source (another distribution) gets mmdebstrap's own default.
import { exec } from './exec.ts';

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

export interface AptTarget {
  uri: string;
  release: string;
  component: string;
  origin: string;
}

/** One-line apt sources for `suite`, taken from the system's configuration; empty: let mmdebstrap choose. */
export async function aptSources(suite: string, signal?: AbortSignal): Promise<string[]> {
  const format = '$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)';
  const { stdout, exitCode } = await exec(['apt-get', 'indextargets', '--format', format, 'Created-By: Packages'], {
    signal,
    allow: [1, 100, 127],
  });
  return exitCode === 0 ? sourcesFor(suite, parseTargets(stdout)) : [];
}

export function parseTargets(text: string): AptTarget[] {
  return text
    .split('\n')
    .filter((line) => line.includes('|'))
    .map((line) => {
      const [uri = '', release = '', component = '', origin = ''] = line.split('|');
      return { uri, release, component, origin };
    });
}

/** The same mirrors, with the guest's suite in place of the host's; updates and security follow where the host has them. */
export function sourcesFor(suite: string, targets: readonly AptTarget[]): string[] {
  const wanted = targets.filter((target) => target.origin === 'Debian' && target.component === 'main');
  const lines = wanted
    .map(({ uri, release }) => ({ uri, suffix: /-(updates|security)$/.exec(release)?.[0] ?? '', release }))
    .filter(({ release, suffix }) => suffix !== '' || !release.includes('-'))
    .map(({ uri, suffix }) => `deb [signed-by=${KEYRING}] ${uri} ${suite}${suffix} main`);
  return lines.some((line) => line.includes(` ${suite} main`)) ? [...new Set(lines)] : [];
}
