// Random kills in a row, see test/machine/random-killing.ts. SEEDS=5 SEED=40 npm run test:long -- test/long/random-kills.test.ts
// for five instead of 100, with the seeds from 41 on.
import { randomKills } from '../machine/random-killing.ts';

randomKills({ kills: Number(process.env.SEEDS ?? 100), seed: Number(process.env.SEED ?? 0) });
