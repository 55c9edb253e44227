// `rdc __rsh` alone, for tests that let rsync start it.
import { builtinTransport } from '../../../src/cli/ssh/builtin.ts';
import { openSshTransport } from '../../../src/cli/ssh/openssh.ts';
import { runRemoteShell } from '../../../src/cli/ssh/remote-shell.ts';

process.exitCode = await runRemoteShell(process.argv.slice(2), {
  transport: async (client) =>
    client === 'openssh' ? openSshTransport('/usr/bin/ssh') : builtinTransport({ env: process.env }),
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  signals: process,
});
