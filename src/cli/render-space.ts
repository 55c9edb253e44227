// How full a filesystem is, for people: "1.2G used, 92M free of 1.3G; 9120 of 65536 inodes free; 93 % full (!)".
import { formatSize } from '../protocol/size.ts';
import type { SpaceReport } from '../protocol/space.ts';
import type { Paint } from './io.ts';

export function spaceText(space: SpaceReport, paint: Paint): string {
  const { totalBytes, usedBytes, freeBytes, totalInodes, freeInodes } = space;
  const inodes = totalInodes === undefined ? [] : [`${freeInodes} of ${totalInodes} inodes free`];
  const bytes = `${formatSize(usedBytes)} used, ${formatSize(freeBytes)} free of ${formatSize(totalBytes)}`;
  return [bytes, ...inodes, `${fullness(space, paint)} full`].join('; ');
}

/** "93 % (!)": the mark is there without colours too. */
export function fullness({ usedPercent, level }: SpaceReport, paint: Paint): string {
  const text = `${usedPercent} %`;
  if (level === 'critical') return paint.red(`${text} (!!)`);
  return level === 'warning' ? paint.yellow(`${text} (!)`) : text;
}
