// One random kill, of a cryptsetup that is at work; test/long/random-kills.test.ts has a hundred of every kind.
import { randomKills } from './random-killing.ts';

randomKills({ kills: 1, seed: 4 });
