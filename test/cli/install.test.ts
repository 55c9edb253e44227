// How rdc gets onto the PATH of a workstation.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';

test('npm install --global . puts the built rdc on the PATH', () => {
  const prefix = mkdtempSync(join(tmpdir(), 'rdc-prefix-'));
  onTestFinished(() => rmSync(prefix, { recursive: true, force: true }));
  execFileSync('npm', ['install', '--global', '--prefix', prefix, '.'], { stdio: 'ignore' });
  expect(execFileSync(join(prefix, 'bin/rdc'), ['--version'], { encoding: 'utf8' })).toMatch(/^\d+\.\d+\.\d+\n$/);
});
