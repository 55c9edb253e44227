// rdc context list, show, use, current, delete: the workstation's own records, no machine is reached.
import { RdcError } from '../../protocol/errors.ts';
import { contextNameSchema } from '../../protocol/ids.ts';
import { argument, defineCommand, optionalArgument } from '../command.ts';
import { type Context, entry } from '../config-file.ts';
import type { CommandContext } from '../context.ts';
import { suggest } from '../did-you-mean.ts';
import { parseWith } from '../parse.ts';
import { renderFacts, renderTable, sayDone } from '../render.ts';
import { placeIn } from '../target.ts';
import { yes } from './options.ts';

const nameArgument = argument('NAME', 'the context', parseWith(contextNameSchema));

const list = defineCommand({
  name: 'context list',
  summary: 'list the contexts',
  args: {},
  options: {},
  changes: 'nothing',
  async run({ config, io }) {
    const { contexts, current } = await config.read();
    const rows = Object.entries(contexts).map(([name, context]) => ({
      name,
      current: name === current,
      machines: Object.keys(context?.machines ?? {}),
      repositories: Object.values(context?.repositories ?? {}).map((record) => record?.name ?? ''),
      sshKey: context?.sshKey,
    }));
    io.printJson({ contexts: rows });
    if (rows.length === 0) io.say('there is no context yet: rdc context create-local NAME --ssh-key PATH');
    else {
      const cells = rows.map((row) => [
        row.current ? '*' : '',
        row.name,
        row.machines.join(', ') || '-',
        row.repositories.join(', ') || '-',
        row.sshKey ?? '-',
      ]);
      io.print(await renderTable(['', 'NAME', 'MACHINES', 'REPOSITORIES', 'SSH KEY'], cells, io.paintOut));
    }
    return undefined;
  },
});

const show = defineCommand({
  name: 'context show',
  summary: 'show a context with its machines and repositories',
  args: { name: optionalArgument('NAME', 'the context; the current one without it', parseWith(contextNameSchema)) },
  options: {},
  changes: 'nothing',
  async run({ config, io, contextName }, { name }) {
    const all = await config.read();
    const place = placeIn(all, name ?? contextName);
    const { machines, repositories, sshKey, ssh = 'auto', notifyCommand } = place.context;
    io.printJson({ name: place.name, current: all.current === place.name, file: config.path, ...place.context });
    if (io.json) return undefined;
    const facts = [
      ['context', place.name],
      ['file', config.path],
      ['ssh key', sshKey ?? '-'],
      ['ssh client', ssh],
      ['notify command', notifyCommand],
    ] as const;
    io.print(renderFacts(facts, io.paintOut));
    const machineRows = Object.entries(machines).map(([machine, record]) => [
      machine,
      `${record?.user}@${record?.ip}${record?.port === 22 ? '' : `:${record?.port}`}`,
      record?.datastore ?? '',
      String(record?.hostKeys.length ?? 0),
    ]);
    if (machineRows.length > 0) {
      io.print(`\n${await renderTable(['MACHINE', 'LOGIN', 'DATASTORE', 'HOST KEYS'], machineRows, io.paintOut)}`);
    }
    const repoRows = Object.entries(repositories).map(([guid, record]) => [
      record?.name ?? '',
      record?.machine ?? '',
      guid,
    ]);
    if (repoRows.length > 0) {
      io.print(`\n${await renderTable(['REPOSITORY', 'MACHINE', 'GUID'], repoRows, io.paintOut)}`);
    }
    return undefined;
  },
});

const use = defineCommand({
  name: 'context use',
  summary: 'make a context the current one',
  args: { name: nameArgument },
  options: {},
  changes: 'workstation',
  async run({ config, io, dryRun }, { name }) {
    const changed = await config.update((draft) => {
      placeIn(draft, name);
      const before = draft.current;
      draft.current = name;
      return before !== name;
    });
    if (changed) sayDone(io, dryRun, `context "${name}" is current`);
    else io.say(`= already: context "${name}" is current`);
    io.printJson({ current: name, changed });
    return undefined;
  },
});

const current = defineCommand({
  name: 'context current',
  summary: 'print the name of the current context',
  args: {},
  options: {},
  changes: 'nothing',
  async run({ config, io }) {
    const { name } = placeIn(await config.read(), undefined);
    io.print(name);
    io.printJson({ current: name });
    return undefined;
  },
});

const remove = defineCommand({
  name: 'context delete',
  summary: 'forget a context',
  details: 'Only the record on this workstation goes. Machines keep their repositories, and credentials.json its keys.',
  args: { name: nameArgument },
  options: { yes },
  changes: 'workstation',
  async run(command, input) {
    const { io, config, dryRun } = command;
    const known = entry((await config.read()).contexts, input.name);
    if (known === undefined) {
      const names = Object.keys((await config.read()).contexts);
      throw new RdcError('NOT_FOUND', `there is no context "${input.name}"`, {
        hint: suggest(input.name, names, 'context'),
      });
    }
    await confirmForget(command, input, known);
    await config.update((draft) => {
      delete draft.contexts[input.name];
      if (draft.current === input.name) delete draft.current;
    });
    sayDone(io, dryRun, `context "${input.name}" forgotten`);
    io.printJson({ name: input.name, changed: true });
    return undefined;
  },
});

async function confirmForget(
  { io, ask, dryRun }: CommandContext,
  { name, yes: sure }: { name: string; yes: boolean },
  context: Context,
): Promise<void> {
  const machines = Object.keys(context.machines);
  if (sure || dryRun || machines.length === 0) return;
  if (!io.canAsk) {
    throw new RdcError('CONFIRMATION_NEEDED', `context "${name}" has machines: ${machines.join(', ')}`, {
      hint: `rdc context delete ${name} --yes`,
    });
  }
  if (!(await ask.confirm(`Forget context "${name}" with its machines ${machines.join(', ')}?`))) {
    throw new RdcError('CANCELLED', 'nothing was changed');
  }
}

export const CONTEXT_COMMANDS = [list, show, use, current, remove];
