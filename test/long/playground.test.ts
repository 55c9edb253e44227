// The virtual machine itself: it must be a plain Debian server, or the other machine tests prove nothing.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestVm, type TestVm } from '../machine/vm.ts';

describe('the playground', () => {
  let vm: TestVm;
  beforeAll(async () => {
    vm = await startTestVm();
  });
  afterAll(() => vm?.destroy());

  it('runs systemd without a failed unit', async () => {
    expect((await vm.ssh('root', 'systemctl is-system-running --wait')).stdout).toBe('running');
  });

  it('holds no file of ours and no Node', async () => {
    const search = "find / -xdev \\( -iname '*rediacc*' -o -iname 'renet*' -o -type f -name node \\) -print";
    expect(await vm.root(search)).toBe('');
    // The control: the same search finds such files where there are some.
    await vm.root('mkdir -p /opt/control && touch /opt/control/node /opt/control/renet.mjs');
    expect((await vm.root(search)).split('\n').sort()).toEqual(['/opt/control/node', '/opt/control/renet.mjs']);
    await vm.root('rm -r /opt/control');
  });

  it('lets deploy become root and asks nosudo for a password', async () => {
    expect((await vm.ssh('deploy', 'sudo -n id -u')).stdout).toBe('0');
    expect((await vm.ssh('nosudo', 'sudo -n id -u')).exitCode).toBe(1);
  });

  it('opens an encrypted volume', async () => {
    await vm.root(
      'truncate -s 64M /v && printf secret | cryptsetup -q luksFormat --pbkdf pbkdf2 --pbkdf-force-iterations 1000 /v -',
    );
    await vm.root('printf secret | cryptsetup open /v v - && mkfs.ext4 -q /dev/mapper/v && mount /dev/mapper/v /mnt');
    expect(await vm.root('findmnt -no FSTYPE /mnt')).toBe('ext4');
    await vm.root('umount /mnt && cryptsetup close v && rm /v');
  });

  it('serves container images that a dockerd pulls by their usual names', async () => {
    await vm.root(
      `mkdir -p /etc/docker && echo '{"registry-mirrors":["${vm.registryMirror}"]}' > /etc/docker/daemon.json`,
    );
    await vm.root('systemctl start docker');
    expect(await vm.root('docker run --rm busybox echo from a container')).toBe('from a container');
  });

  it('comes back after a reboot as the same machine', async () => {
    const id = await vm.root('cat /etc/machine-id');
    await vm.reboot();
    expect(await vm.root('cat /etc/machine-id')).toBe(id);
  });

  it('powers off cleanly and starts again', async () => {
    expect((await vm.stop()).clean).toBe(true);
    await vm.start();
    expect((await vm.ssh('deploy', 'true')).exitCode).toBe(0);
  });
});
