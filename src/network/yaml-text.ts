// Text to the nodes of the `yaml` package, with its complaints as ours.
import { LineCounter, type ParsedNode, parseAllDocuments } from 'yaml';
import { Refusal } from './finding.ts';

/** YAML 1.2, 5.1: not even in comments. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const CONTROL = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/;

export interface YamlDocuments {
  documents: (ParsedNode | null)[];
  /** 1 for the first line. */
  lineAt(offset: number): number;
}

/** Throws a Refusal with file and line for what is no YAML. Duplicate keys and aliases are left to the caller. */
export function parseDocuments(file: string, text: string): YamlDocuments {
  const lines = new LineCounter();
  const lineAt = (offset: number) => Math.max(1, lines.linePos(offset).line);
  const control = CONTROL.exec(text);
  if (control !== null) {
    const line = text.slice(0, control.index).split('\n').length;
    throw new Refusal({ file, line, rule: 'yaml', message: 'a control character, which YAML forbids' });
  }
  const parsed = parse(file, text, lines);
  for (const { errors } of parsed) {
    const [problem] = errors;
    if (problem === undefined) continue;
    const message = problem.message.split('\n')[0] ?? 'not YAML';
    throw new Refusal({ file, line: lineAt(problem.pos[0]), rule: 'yaml', message });
  }
  return { documents: parsed.map(({ contents }) => contents), lineAt };
}

function parse(file: string, text: string, lineCounter: LineCounter) {
  try {
    // uniqueKeys compares each key with each other one: too slow for a hostile file.
    const parsed = parseAllDocuments(text, {
      ...{ lineCounter, uniqueKeys: false, merge: false, prettyErrors: false, logLevel: 'silent' },
    });
    return Array.isArray(parsed) ? parsed : [];
  } catch (error) {
    if (error instanceof RangeError) throw new Refusal({ file, rule: 'yaml', message: 'nested too deep' });
    throw error;
  }
}
