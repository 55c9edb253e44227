// rdc context create-local: a named workspace on this workstation.
import { RdcError } from '../../protocol/errors.ts';
import { contextNameSchema } from '../../protocol/ids.ts';
import { argument, defineCommand, option } from '../command.ts';
import { type Context, contextSchema, entry } from '../config-file.ts';
import { checkedKeyFile } from '../key-file.ts';
import { parseWith } from '../parse.ts';
import { sayDone } from '../render.ts';

export const createLocal = defineCommand({
  name: 'context create-local',
  summary: 'make a context on this workstation',
  details: 'A context is a named workspace: an ssh key, machines and repositories. The first one becomes current.',
  args: { name: argument('NAME', 'the context', parseWith(contextNameSchema)) },
  options: {
    sshKey: option('--ssh-key <path>', "private key for its machines; without it, ssh's own config and agent decide"),
    ssh: option(
      '--ssh <client>',
      "which ssh client: openssh (the system's), builtin, or auto (openssh where there is one)",
      parseWith(contextSchema.shape.ssh.unwrap()),
    ),
  },
  changes: 'workstation',
  async run(command, { name, sshKey, ssh }) {
    const keyFile = sshKey === undefined ? undefined : await checkedKeyFile(command, sshKey);
    const made: Context = {
      ...(keyFile === undefined ? {} : { sshKey: keyFile }),
      ...(ssh === undefined ? {} : { ssh }),
      machines: {},
      repositories: {},
    };
    const { already, current } = await command.config.update((config) => {
      const known = entry(config.contexts, name);
      if (known !== undefined && (known.sshKey !== made.sshKey || (known.ssh ?? 'auto') !== (ssh ?? 'auto'))) {
        throw new RdcError('ALREADY_EXISTS', `there is a context "${name}" already, with other settings`, {
          hint: `rdc context show ${name}`,
        });
      }
      if (known === undefined) config.contexts[name] = made;
      config.current ??= name;
      return { already: known !== undefined, current: config.current };
    });
    const { io, dryRun } = command;
    if (already) io.say(`= already: there is a context "${name}"`);
    else sayDone(io, dryRun, `context "${name}" created${current === name ? ' and current' : ''}`);
    io.printJson({ name, current: current === name, changed: !already });
    return undefined;
  },
});
