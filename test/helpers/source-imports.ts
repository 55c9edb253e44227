// What every source file imports, read from its syntax tree: comments and strings that look like imports do not count.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import ts from 'typescript';

/** "static": loaded with the file; "dynamic": `await import()`; "type": erased by the compiler. */
export type ImportKind = 'static' | 'dynamic' | 'type';

export interface SourceImport {
  /** A path from the root of the project ("src/cli/io.ts") or what stands in the import ("zod/v4", "node:fs"). */
  target: string;
  /** "zod"; undefined: Node's own, or a file of ours. */
  package: string | undefined;
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
    if (name.startsWith('.')) found.push({ target: join(dirname(path), name), package: undefined, kind });
    else found.push({ target: name, package: packageOf(name), kind });
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

/** "vscode-jsonrpc/node.js" -> "vscode-jsonrpc" */
function packageOf(name: string): string | undefined {
  if (name.startsWith('node:')) return undefined;
  return name.split('/', name.startsWith('@') ? 2 : 1).join('/');
}

/** The files that import a package, in whatever way. */
export function importersOf(imports: SourceImports, name: string): string[] {
  return [...imports].filter(([, list]) => list.some((one) => one.package === name)).map(([file]) => file);
}
