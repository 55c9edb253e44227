// A second process that runs code of ours: bundled as the agent is, killed as only a process can be.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { onTestFinished } from 'vitest';

const TEXT = { '.service': 'text', '.socket': 'text', '.slice': 'text', '.conf': 'text', '.sh': 'text' } as const;

/** `file` is relative to this directory. */
export async function bundle(file: string, directory: string): Promise<string> {
  const outfile = join(directory, `${file.replace(/\W/g, '-')}.mjs`);
  await build({
    entryPoints: [fileURLToPath(new URL(file, import.meta.url))],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    loader: TEXT,
    define: { __RDC_VERSION__: '"0.1.0"', __FAULT_HOOK__: 'false' },
    banner: {
      js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
    },
    logLevel: 'error',
  });
  return outfile;
}

export interface Running {
  child: ChildProcess;
  /** All of stdout so far. */
  said(): string;
  /** Resolves when stdout holds the text; rejects when the process ends without. */
  saying(text: string): Promise<void>;
}

export function run(script: string, args: readonly string[], env: Record<string, string> = {}): Running {
  const child = spawn(process.execPath, [script, ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  });
  onTestFinished(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const closed = once(child, 'close');
    child.kill('SIGKILL');
    await closed;
  });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => {
    text += String(chunk);
  });
  return {
    child,
    said: () => text,
    async saying(wanted) {
      while (!text.includes(wanted)) {
        const more = await Promise.race([once(child.stdout, 'data'), once(child, 'close').then(() => undefined)]);
        if (more === undefined && !text.includes(wanted))
          throw new Error(`it ended without saying "${wanted}": ${text}`);
      }
    },
  };
}
