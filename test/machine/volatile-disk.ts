// A disk with a cache that a power cut empties, for tests. A write is in the cache and counts as done; a flush, or a write that
// asks for it (FUA), brings it to the medium, a sparse file. Everything is synchronous, so no moment is in the middle of a call.
import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import type { BlockDevice } from './nbd-server.ts';

/** What is written whole or not at all, in bytes: the physical sector of the disks of today. */
const SECTOR = 4096;

/** At most so many sectors in one write to the medium. */
const RUN = 1024;

export interface PowerCut {
  /** Sectors whose newest content no flush had reached. */
  unflushed: number;
  /** Those of them that have lost something. */
  lost: number;
}

export class VolatileDisk implements BlockDevice {
  readonly sizeBytes: number;
  /** Flushes are answered and nothing is kept: what some disks really do, and the control of every test with this one. */
  lies: boolean;
  readonly #medium: number;
  /** By number of the sector: what was written since the last flush, oldest first. */
  #cache = new Map<number, Buffer[]>();

  /** `file` is the medium, of any content; its size is the size of the disk, whole sectors. */
  constructor(file: string, options: { lies?: boolean } = {}) {
    this.#medium = openSync(file, 'r+');
    this.sizeBytes = fstatSync(this.#medium).size;
    this.lies = options.lies ?? false;
    if (this.sizeBytes % SECTOR !== 0) throw new Error(`the size of "${file}" is no multiple of ${SECTOR}`);
  }

  read(offset: number, length: number): Buffer {
    const data = Buffer.alloc(length);
    for (let done = 0; done < length; ) {
      done += readSync(this.#medium, data, done, length - done, offset + done);
    }
    if (this.#cache.size === 0) return data;
    for (const { sector, start, end } of partsOf(offset, length)) {
      const newest = this.#cache.get(sector)?.at(-1);
      newest?.copy(data, sector * SECTOR + start - offset, start, end);
    }
    return data;
  }

  write(offset: number, data: Buffer, { durable }: { durable: boolean }): void {
    for (const { sector, start, end } of partsOf(offset, data.length)) {
      const part = data.subarray(sector * SECTOR + start - offset, sector * SECTOR + end - offset);
      this.#change(sector, start, part);
    }
    if (durable && !this.lies) this.#keep([...partsOf(offset, data.length)].map(({ sector }) => sector));
  }

  flush(): void {
    if (!this.lies) this.#keep([...this.#cache.keys()]);
  }

  /**
   * The power cut: the cache is empty. With `random`, some of it had reached the medium before, as disks write in any order: a
   * random share of the sectors, each with any of its contents since the last flush.
   */
  forget(random?: () => number): PowerCut {
    const share = random?.() ?? 0;
    const cut = { unflushed: this.#cache.size, lost: this.#cache.size };
    for (const [sector, contents] of this.#cache) {
      if (random === undefined || random() >= share) continue;
      const survivor = Math.floor(random() * contents.length);
      this.#toMedium(sector, contents.slice(survivor, survivor + 1));
      if (survivor === contents.length - 1) cut.lost -= 1;
    }
    this.#cache.clear();
    return cut;
  }

  close(): void {
    closeSync(this.#medium);
  }

  #change(sector: number, start: number, part: Buffer): void {
    const contents = this.#cache.get(sector) ?? [];
    if (contents.length === 0) this.#cache.set(sector, contents);
    const whole = part.length === SECTOR ? part : this.read(sector * SECTOR, SECTOR);
    if (whole !== part) part.copy(whole, start);
    contents.push(whole);
  }

  /** Brings the newest contents of these sectors to the medium, neighbours in one write. */
  #keep(sectors: readonly number[]): void {
    let first = 0;
    let run: Buffer[] = [];
    for (const sector of [...sectors].sort((a, b) => a - b)) {
      const newest = this.#cache.get(sector)?.at(-1);
      if (newest === undefined) continue;
      this.#cache.delete(sector);
      if (sector !== first + run.length || run.length === RUN) {
        this.#toMedium(first, run);
        first = sector;
        run = [];
      }
      run.push(newest);
    }
    this.#toMedium(first, run);
  }

  #toMedium(first: number, contents: readonly Buffer[]): void {
    const data = Buffer.concat(contents);
    for (let done = 0; done < data.length; ) {
      done += writeSync(this.#medium, data, done, data.length - done, first * SECTOR + done);
    }
  }
}

/** The sectors that a range touches, and from where to where in each. */
function* partsOf(offset: number, length: number): Generator<{ sector: number; start: number; end: number }> {
  for (let at = offset; at < offset + length; ) {
    const sector = Math.floor(at / SECTOR);
    const start = at - sector * SECTOR;
    const end = Math.min(SECTOR, start + offset + length - at);
    yield { sector, start, end };
    at += end - start;
  }
}
