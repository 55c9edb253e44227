// Three random kills; test/long/random-kills.test.ts has a hundred.
import { randomKills } from './random-killing.ts';

randomKills({ kills: 3, seed: 0 });
