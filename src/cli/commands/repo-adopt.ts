// rdc repo adopt: a repository that another workstation made becomes known here, with its credential.
import { RdcError } from '../../protocol/errors.ts';
import { guidSchema, repoRefSchema } from '../../protocol/ids.ts';
import type { Secret } from '../../protocol/secret.ts';
import { call, withAgent } from '../agent-run.ts';
import { argument, defineCommand } from '../command.ts';
import { givenCredential } from '../credential-source.ts';
import { suggest } from '../did-you-mean.ts';
import { refuseForeignGuid } from '../known-guid.ts';
import { parseWith } from '../parse.ts';
import { sayDone } from '../render.ts';
import { recordRepository } from '../repo-record.ts';
import { added } from '../rotation-record.ts';
import { machineTarget } from '../target.ts';
import { credentialSource, machineOption } from './options.ts';
import { wrongCredential } from './repo-credential.ts';

export const repoAdopt = defineCommand({
  name: 'repo adopt',
  summary: 'take over a repository that another workstation made',
  details:
    'Finds it on the machine, checks that the credential opens it, and saves both here. Without one of the options the ' +
    'credential is asked for at the terminal.',
  args: { ref: argument('GUID', 'its GUID, or its name on the machine', parseWith(repoRefSchema)) },
  options: { machine: machineOption, ...credentialSource },
  changes: 'workstation',
  async run(command, { ref, machine: machineName, ...source }) {
    const { io, dryRun, credentials, ask } = command;
    const machine = await machineTarget(command, machineName);
    const given = await givenCredential(command, source);
    return await withAgent(command, machine, async (client) => {
      const { repositories } = await call(command, client, 'repo.list', {});
      const found = repositories.find((repo) => repo.guid === ref) ?? repositories.find((repo) => repo.name === ref);
      if (found === undefined) {
        const known = repositories.map((repo) => repo.name);
        const hint = suggest(ref, known, 'repository');
        throw new RdcError('NOT_FOUND', `there is no repository "${ref}" on machine "${machine.name}"`, { hint });
      }
      const { guid, name } = found;
      const asked = guidSchema.safeParse(ref).data;
      await refuseForeignGuid(command, { machine, guid: asked }, guid);
      const stored = await credentials.get(guid);
      const value: Secret = given ?? stored?.value ?? (await ask.secret(`credential of "${name}":`));
      const verified = await call(command, client, 'repo.verify-credential', { repo: guid, credential: value });
      if (!verified.opens) throw wrongCredential(name);
      if (given !== undefined || stored === undefined)
        await credentials.change(guid, added({ value, kdf: 'passphrase' }));
      const changed = await recordRepository(command, machine, { guid, name });
      if (changed || stored === undefined)
        sayDone(io, dryRun, `repository "${name}" on "${machine.name}" is known here now`);
      else io.say(`= already: repository "${name}" is known here`);
      io.printJson({ machine: machine.name, name, guid, changed: changed || stored === undefined });
      return undefined;
    });
  },
});
