import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

const unitFile = /\.(service|socket|slice|conf|sh)$/;
/** Unit files are imported as text, as the bundler does. */
const unitText = {
  name: 'unit-files-as-text',
  enforce: 'pre' as const,
  async load(id: string) {
    return unitFile.test(id) ? `export default ${JSON.stringify(await readFile(id, 'utf8'))};` : undefined;
  },
};

/** Virtual machines at a time. */
const MACHINES = Number(process.env.MACHINES ?? 2);

/** Machine tests of more than a few minutes, longest first: one that starts last is waited for with one machine idle. */
const LONG_FILES = [
  'main-job',
  'soak',
  'boot',
  'power-cut',
  'supervision',
  'isolation',
  'refusals',
  'step-matrix',
  'random-kills',
  'upgrade',
  'disk-full',
  'rediaccfile',
];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => {
      const index = LONG_FILES.findIndex((name) => moduleId.endsWith(`/machine/${name}.test.ts`));
      return index < 0 ? LONG_FILES.length : index;
    };
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
  }
}

export default defineConfig({
  plugins: [unitText],
  define: {
    __RDC_VERSION__: JSON.stringify('0.1.0'),
    __CONNECT_PROGRAM__: JSON.stringify(''),
    __FAULT_HOOK__: 'false',
  },
  test: {
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        extends: true,
        // Long enough for a machine with other work: a test waits for a state, and the limit only ends one that hangs.
        test: {
          name: 'fast',
          include: ['test/**/*.test.ts'],
          exclude: ['test/machine/**', 'test/long/**'],
          // Vitest leaves one core to others, which on two cores is half of the machine.
          maxWorkers: Math.max(2, availableParallelism() - 1),
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
      {
        extends: true,
        // Each file has a machine of its own, which keeps one and a half cores busy.
        test: {
          name: 'machine',
          include: ['test/machine/**/*.test.ts'],
          globalSetup: ['test/machine/run-directory.ts'],
          maxWorkers: MACHINES,
          testTimeout: 600_000,
          hookTimeout: 1_500_000,
        },
      },
      {
        extends: true,
        // What takes longer than a run of all tests may.
        test: {
          name: 'long',
          include: ['test/long/**/*.test.ts'],
          globalSetup: ['test/machine/run-directory.ts'],
          maxWorkers: MACHINES,
          testTimeout: 1_800_000,
          hookTimeout: 1_800_000,
        },
      },
    ],
  },
});
