// The repository in which the rules of Rediaccfiles are tried on a real machine, and what its runs said and called.
import type { RepositoryFiles } from '../fixtures/rediaccfile/files.ts';
import type { Desk } from './desk.ts';
import { startSetUp } from './set-up.ts';
import type { TestVm } from './vm.ts';

export interface Ran {
  exitCode: number;
  stderr: string;
  /** The document of --json. */
  told: {
    run: string;
    outcome: string;
    failed: { where: string; reason: string }[];
    error: { code: string; message: string };
    findings: { file: string; line?: number; rule: string; severity: string; message: string }[];
  };
}

export let vm: TestVm;
export let desk: Desk;
export let guid: string;
export let mountPoint: string;

export async function openRules(): Promise<void> {
  ({ vm, desk } = await startSetUp());
  await desk.done('repo create rules --size 150M');
  await desk.done('repo mount rules');
  ({ guid, mountPoint } = await desk.json<{ guid: string; mountPoint: string }>('repo status rules'));
}

export async function closeRules(): Promise<void> {
  await desk?.destroy();
  await vm?.destroy();
}

export async function ran(line: string): Promise<Ran> {
  const { exitCode, stdout, stderr } = await desk.rdc(`${line} --json`);
  return { exitCode, stderr, told: JSON.parse(stdout) };
}

const WRITE = `my $mount = shift; while (<STDIN>) { my ($path, $text) = map { pack "H*", $_ } split; my $at = $mount;
  my @parts = split m{/}, $path; my $file = pop @parts; for (@parts) { $at .= "/$_"; mkdir $at }
  open my $out, ">", "$at/$file" or die "$path: $!"; print $out $text // ""; close $out or die "$path: $!" }`;

/** Straight into the mount, also what no upload would bring. */
export async function put(files: RepositoryFiles): Promise<void> {
  const hex = (words: string | Buffer) => Buffer.from(words as string).toString('hex');
  const input = Object.entries(files).map(([path, text]) => `${hex(path)} ${hex(text)}\n`);
  await vm.root(['perl', '-e', WRITE, mountPoint], { input: input.join('') });
}

/** Only these files, and no trace of what was called before. */
export async function replaceBy(files: RepositoryFiles): Promise<void> {
  await vm.root(`find ${mountPoint} -mindepth 1 -maxdepth 1 ! -name .rediacc ! -name lost+found -exec rm -rf {} +`);
  await put(files);
}

/** Which functions were called, in order: "prep", "up /a". */
export async function called(): Promise<string[]> {
  const text = await vm.root(`cat ${mountPoint}/trace 2>/dev/null; true`);
  return text.split('\n').filter((line) => line !== '');
}

/** What stands behind "SOURCE | ". */
export function said(stderr: string, source: string): string[] {
  const start = `${source} | `;
  return stderr.split('\n').flatMap((line) => (line.startsWith(start) ? [line.slice(start.length)] : []));
}
