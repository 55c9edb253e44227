// As in every run of the tests, and longer. CYCLES=50 npm run test:long -- test/long/soak.test.ts for fewer than 500.
import { soak } from '../machine/soak.ts';

soak(Math.ceil(Number(process.env.CYCLES ?? 500) / 5));
