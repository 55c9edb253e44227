// rdc __docs FILE: writes the reference; `npm run docs` calls it.
import { writeFile } from 'node:fs/promises';
import { argument, type Command, type CommandGroup, defineCommand } from '../command.ts';
import { renderReference } from '../reference.ts';

/** The groups come from outside: the reference is about them, and this command is one of them. */
export function docsCommand(groups: () => readonly CommandGroup[]): Command {
  return defineCommand({
    name: '__docs',
    summary: 'write the reference of all commands',
    args: { file: argument('FILE', 'where to', (text) => text) },
    options: {},
    changes: 'nothing',
    hidden: true,
    async run(_command, { file }) {
      await writeFile(file, await renderReference(groups()));
      return undefined;
    },
  });
}
