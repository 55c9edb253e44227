// Every way in which an image is attached and open, by what it is and not by what it is called: sysfs tells the path by
// which a loop device was made, the kernel itself the device and inode of the file (loop(4), LOOP_GET_STATUS64), so another
// name, a hard link or another view of the same image is found as well. Reads only.
import { RdcError } from '../protocol/errors.ts';
import { observeBlockDevices } from './block-devices.ts';
import { command } from './command.ts';
import type { System } from './system.ts';
import type { RepoTarget } from './target.ts';

export interface Opening {
  /** "/dev/loop3" */
  device: string;
  /** By which name it was attached. */
  backingFile: string;
  /** Names of the mappings on it. */
  mappings: string[];
  /** It goes by itself with the last one who has it open, as one that cryptsetup(8) has attached does. */
  autoclear: boolean;
}

export interface ForeignOpening extends Opening {
  /** The device is ours; the mappings are somebody else's. */
  deviceIsOurs: boolean;
}

type OpeningTarget = Pick<RepoTarget, 'name' | 'paths'>;

/** As losetup(8) prints them; some versions give numbers as texts, padded. */
interface Listed {
  name: string;
  'back-maj:min': string | null;
  'back-ino': string | number | null;
  autoclear: string | number | boolean | null;
}

/** By image. Those that are not there, or not attached, have no entry. */
export async function findOpenings(system: System, images: readonly string[]): Promise<Map<string, Opening[]>> {
  const openings = new Map<string, Opening[]>();
  const { loops, mappings } = await observeBlockDevices(system);
  if (images.length === 0 || loops.length === 0) return openings;
  const list = command('losetup', '--list', '--json', '--output', 'NAME,BACK-MAJ:MIN,BACK-INO,AUTOCLEAR');
  const { stdout } = await system.run(list);
  // Nothing at all where there is none.
  const listed = stdout.trim() === '' ? [] : (JSON.parse(stdout) as { loopdevices: Listed[] }).loopdevices;
  const byIdentity = await identify(system, images);
  for (const loop of listed.sort((a, b) => numberOf(a) - numberOf(b))) {
    const image = byIdentity.get(`${loop['back-maj:min']?.trim()} ${String(loop['back-ino']).trim()}`);
    if (image === undefined) continue;
    const kernelName = loop.name.slice('/dev/'.length);
    const opening: Opening = {
      device: loop.name,
      backingFile: loops.find(({ device }) => device === loop.name)?.backingFile ?? '',
      mappings: mappings.filter(({ on }) => on.includes(kernelName)).map(({ name }) => name),
      autoclear: ['1', 'true'].includes(String(loop.autoclear).trim()),
    };
    openings.set(image, [...(openings.get(image) ?? []), opening]);
  }
  return openings;
}

function numberOf({ name }: Listed): number {
  return Number(name.slice('/dev/loop'.length));
}

/** "254:0 2146344" to the image. Exit code 1: one of them is not there. */
async function identify(system: System, images: readonly string[]): Promise<Map<string, string>> {
  const { stdout } = await system.run({ ...command('stat', '--format=%d %i %n', '--', ...images), allow: [1] });
  const rows = stdout.split('\n').flatMap((line) => {
    const [, device, inode = '', image = ''] = /^(\d+) (\d+) (.+)$/.exec(line) ?? [];
    return device === undefined ? [] : [[`${majorMinor(BigInt(device))} ${inode}`, image] as const];
  });
  return new Map(rows);
}

/** As glibc packs them into a dev_t (sys/sysmacros.h): "254:0" of 65024. */
export function majorMinor(device: bigint): string {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn);
  const minor = (device & 0xffn) | ((device >> 12n) & 0xffff_ff00n);
  return `${major}:${minor}`;
}

/** Those that we have not made: ours is the one with our mapping, else one by our name that nothing is mapped on yet. */
export function foreignOpenings({ paths }: OpeningTarget, openings: readonly Opening[]): ForeignOpening[] {
  const ours =
    openings.find(({ mappings }) => mappings.includes(paths.mapping)) ??
    openings.find(({ backingFile, mappings }) => backingFile === paths.image && mappings.length === 0);
  return openings.flatMap((opening): ForeignOpening[] => {
    if (opening !== ours) return [{ ...opening, deviceIsOurs: false }];
    const foreign = opening.mappings.filter((name) => name !== paths.mapping);
    return foreign.length === 0 ? [] : [{ ...opening, mappings: foreign, deviceIsOurs: true }];
  });
}

const DANGER = 'its image is attached a second time';

/** Whether a text is what describeForeign() said. */
export function tellsOfForeign(what: string): boolean {
  return what.startsWith(DANGER);
}

/** The danger, and what to do on the server. */
export function describeForeign(
  { paths }: OpeningTarget,
  foreign: readonly ForeignOpening[],
): { what: string; fix: string } {
  const words = foreign.map(({ device, backingFile, mappings }) => {
    const name = backingFile === paths.image ? [] : [`as ${backingFile}`];
    const parts = [...name, ...mappings.map((mapping) => `open as "${mapping}"`)];
    return `${device}${parts.length === 0 ? '' : ` (${parts.join(', ')})`}`;
  });
  const closing = foreign.flatMap(({ device, mappings, deviceIsOurs, autoclear }) => [
    ...mappings.map((mapping) => `cryptsetup close ${mapping}`),
    ...(deviceIsOurs || (autoclear && mappings.length > 0) ? [] : [`losetup --detach ${device}`]),
  ]);
  return {
    what: `${DANGER}: ${words.join(', ')}; writing through both destroys it`,
    fix: `find out who did it, then on the server: ${closing.join('; ')}`,
  };
}

/** Throws VOLUME_IN_USE where somebody else has attached or opened the image, under whatever name. */
export async function refuseSecondOpening(system: System, target: OpeningTarget): Promise<void> {
  const { image } = target.paths;
  const foreign = foreignOpenings(target, (await findOpenings(system, [image])).get(image) ?? []);
  if (foreign.length === 0) return;
  const { what, fix } = describeForeign(target, foreign);
  throw new RdcError('VOLUME_IN_USE', `repository "${target.name}": ${what}`, { hint: fix });
}
