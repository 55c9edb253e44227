// Twenty cycles; test/long/soak.test.ts has five hundred.
import { soak } from './soak.ts';

soak(4);
