// What the server still holds of a repository, as the kernel, systemd and the programs themselves tell it. Nothing of
// ours is asked, so that a mistake in our own observing cannot hide what is left.
import type { TestVm } from './vm.ts';

export interface Subject {
  guid: string;
  networkId: number;
}

/** One line each for what is there; empty for a closed repository. */
export async function remainsOf(vm: TestVm, { guid, networkId }: Subject): Promise<string[]> {
  const script = `
    show() { what=$1; shift; "$@" 2>/dev/null | sed "s/^/$what: /"; }
    show mapping ls /dev/mapper | grep rediacc-${guid}
    show mount grep -h rediacc-${guid} /proc/[0-9]*/mountinfo | sort -u
    show loop losetup --noheadings --output NAME,BACK-FILE | grep ${guid}
    show namespace ip netns list | grep -w rd${networkId}
    show link ip -o link show rdh${networkId}
    show route ip route show dev rdh${networkId}
    show rule nft list ruleset | grep -w rdh${networkId}
    show set nft list set inet rediacc sources | grep -w rdh${networkId}
    show process grep -l rediacc-${networkId}.slice /proc/[0-9]*/cgroup
    show socket ls /run/rediacc | grep -w -e docker-${networkId}.sock -e ^${networkId}
    show unit systemctl list-units --plain --no-legend --all 'rediacc-*' | grep -e ${guid} -e rediacc-${networkId} -e docker-${networkId} | grep -v not-found
    show drop-in ls /run/systemd/system | grep ${guid}
    true`;
  const text = await vm.root(script);
  return text.split('\n').filter((line) => line !== '');
}

/** The kinds of things among them. */
export function kindsOf(remains: readonly string[]): Set<string> {
  return new Set(remains.map((line) => line.slice(0, line.indexOf(':'))));
}
