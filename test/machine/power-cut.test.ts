// Three power cuts and their control; test/long/power-cut.test.ts has a hundred.
import { powerCuts } from './power-cutting.ts';

powerCuts({ cuts: 3, seed: 0 });
