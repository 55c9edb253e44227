// One random kill; test/long/random-kills.test.ts has a hundred.
import { randomKills } from './random-killing.ts';

randomKills({ kills: 1, seed: 0 });
