// How long a filesystem stands still when the copy does not end: systemd/freeze-copy.sh on a real ext4, with a `cp` that hangs.
import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';

const SCRIPT = new URL('../../systemd/freeze-copy.sh', import.meta.url).pathname;
const BED = `set -eu
mount --make-rprivate /
bed=$(mktemp -d)
trap 'umount "$bed/mnt"; rm -rf "$bed"' EXIT
mount -t tmpfs tmpfs /usr/local/sbin
printf '#!/bin/sh\\n: > /usr/local/sbin/begun\\nexec sleep 300\\n' > /usr/local/sbin/cp
chmod 755 /usr/local/sbin/cp
mkdir "$bed/mnt"
truncate -s 16M "$bed/image"
mkfs.ext4 -q "$bed/image"
mount -o loop "$bed/image" "$bed/mnt"
copy() { bash ${SCRIPT} copy "$bed/mnt" "$bed/image" "$bed/copy" "$bed/flag" "$1"; }
thaw() { bash ${SCRIPT} thaw "$bed/mnt" "$bed/flag"; }
tell() { test -e "$bed/flag" && flag=flag || flag='no flag'; fsfreeze --freeze "$bed/mnt" 2>&1 && state=running || state=frozen; echo "$1: $state, $flag"; }
`;
const inBed = (script: string) =>
  execFileSync('unshare', ['--mount', 'bash', '-c', BED + script], { encoding: 'utf8' });

test('a copy that hangs: thawed by itself when the time is over, and told so', () => {
  const told = inBed('code=0; copy 1 2>&1 || code=$?; echo "code $code"; tell after; fsfreeze --unfreeze "$bed/mnt"');
  expect(told).toMatch(/^frozen for [1-9]\d{6} us\nit took longer than 1 s\ncode 124\nafter: running, no flag\n$/);
});

test('control: it stands still until then; killed, it stays so until "thaw" is called', () => {
  const told = inBed(`set -m; bash ${SCRIPT} copy "$bed/mnt" "$bed/image" "$bed/copy" "$bed/flag" 300 >&2 & copying=$!
    until test -e /usr/local/sbin/begun; do sleep 0.1; done
    tell before; kill -KILL $copying; tell killed; thaw; tell thawed; fsfreeze --unfreeze "$bed/mnt"
    kill -KILL -- -$copying`);
  expect(told.replace(/^fsfreeze.*\n/gm, '')).toBe(
    'before: frozen, flag\nkilled: frozen, flag\nthawed: running, no flag\n',
  );
});

test('frozen by somebody else: left as it is', () => {
  const told = inBed(
    'fsfreeze --freeze "$bed/mnt"; copy 300 2> /dev/null || echo "code $?"; tell after; fsfreeze --unfreeze "$bed/mnt"',
  );
  expect(told.replace(/^fsfreeze.*\n/gm, '')).toBe('code 75\nafter: frozen, no flag\n');
});
