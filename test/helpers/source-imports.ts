// What every source file imports, read from its syntax tree: comments and strings that look like imports do not count.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import ts from 'typescript';

/** "static": loaded with the file; "dynamic": `await import()`; "type": erased by the compiler. */
export type ImportKind = 'static' | 'dynamic' | 'type';

export interface SourceImport {
  /** A path from the root of the project ("src/cli/io.ts") or what stands in the import ("zod", "node:fs"). */
  target: string;
  kind: ImportKind;
}

export type SourceImports = ReadonlyMap<string, readonly SourceImport[]>;

/** By path from the root of the project, where the tests run. */
export function readSourceImports(directory = 'src'): SourceImports {
  const paths = readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts') && !path.endsWith('.d.ts'))
    .map((path) => join(directory, path));
  return new Map(paths.sort().map((path) => [path, importsOf(path, readFileSync(path, 'utf8'))]));
}

export function importsOf(path: string, text: string): SourceImport[] {
  const found: SourceImport[] = [];
  const add = (specifier: ts.Node | undefined, kind: ImportKind) => {
    if (specifier === undefined || !ts.isStringLiteral(specifier))
      throw new Error(`${path}: an import of no fixed name`);
    const { text: name } = specifier;
    found.push({ target: name.startsWith('.') ? join(dirname(path), name) : name, kind });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) add(node.moduleSpecifier, node.importClause?.isTypeOnly ? 'type' : 'static');
    else if (ts.isExportDeclaration(node) && node.moduleSpecifier !== undefined)
      add(node.moduleSpecifier, node.isTypeOnly ? 'type' : 'static');
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
      add(node.arguments[0], 'dynamic');
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) add(node.argument.literal, 'type');
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(path, text, ts.ScriptTarget.Latest));
  return found;
}

/** "vscode-jsonrpc/node.js" -> "vscode-jsonrpc"; undefined: Node's own, or a file of ours. */
export function packageOf(target: string): string | undefined {
  if (/^(src|systemd|node:)/.test(target)) return undefined;
  return target.startsWith('@') ? target.split('/', 2).join('/') : target.split('/', 1)[0];
}

/** The files that import a package, in whatever way. */
export function importersOf(imports: SourceImports, name: string): string[] {
  return [...imports].filter(([, list]) => list.some(({ target }) => packageOf(target) === name)).map(([file]) => file);
}
