// One run of the program: words in, exit code out. Everything that can go wrong on the way ends in showFailure.
import type { Command } from './command.ts';
import { GROUPS } from './commands/index.ts';
import type { ContextDeps } from './context.ts';
import { exitCodeOf, showFailure } from './failure.ts';
import { createIo, type Io, type Streams } from './io.ts';
import { parseLine } from './program.ts';

export interface CliDeps extends ContextDeps {
  streams: Streams;
}

export async function run(argv: readonly string[], deps: CliDeps): Promise<number> {
  const { streams, env, version } = deps;
  // How an error of the parser itself is shown must be known before the words are parsed.
  const end = argv.indexOf('--');
  const ours = end < 0 ? argv : argv.slice(0, end);
  const given = (...words: string[]) => words.some((word) => ours.includes(word));
  const early = { json: given('--json'), quiet: false, verbose: given('-v', '--verbose'), color: !given('--no-color') };
  let io = createIo(streams, early, env);
  let contextName: string | undefined;
  try {
    const columns = Math.min(100, streams.stdout.columns ?? 80);
    const line = await parseLine(argv, { groups: GROUPS, version, columns });
    if (line.kind === 'help') return showHelp(line.text, line.asked, streams);
    const { globals } = line;
    contextName = typeof globals.context === 'string' ? globals.context : undefined;
    io = createIo(streams, ioOptions(globals), env);
    return await execute(line.command, line.raw, globals, io, deps);
  } catch (error) {
    return showFailure(error, io, contextName);
  }
}

/** Asked for, help is data; shown because a verb is missing, it is an error's explanation. */
function showHelp(text: string, asked: boolean, { stdout, stderr }: Streams): number {
  (asked ? stdout : stderr).write(text);
  return asked ? 0 : exitCodeOf('USAGE');
}

function ioOptions({ json, quiet, verbose, color }: Record<string, unknown>) {
  return { json: json === true, quiet: quiet === true, verbose: verbose === true, color: color !== false };
}

async function execute(
  command: Command,
  raw: Record<string, unknown>,
  globals: Record<string, unknown>,
  io: Io,
  deps: CliDeps,
): Promise<number> {
  const start = command.prepare(raw);
  const { createContext } = await import('./context.ts');
  const wait = typeof raw.wait === 'string' ? raw.wait : undefined;
  const context = createContext(io, { globals, dryRun: raw.dryRun === true, detach: raw.detach === true, wait }, deps);
  return exitCodeOf(await start(context));
}
