// A sample of test/long/power-cut.test.ts.
import { powerCuts } from './power-cutting.ts';

powerCuts({ cuts: 3, seed: 0 });
