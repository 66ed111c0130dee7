/** Imports go one way: the order that ARCHITECTURE.md states, and what stands beside it. */
import { dirname, join } from 'node:path/posix';
import { ts } from 'ts-morph';
import { describe, expect, test } from 'vitest';
import { nodesOf, sources, type SourceTree } from './sources.ts';

/** Folders and files of `src`: each imports those above it, and itself. */
const order: readonly (readonly string[])[] = [
  ['util', 'version'],
  ['ir'],
  ['plan', 'mask', 'arch'],
  ['kernels'],
  ['passes'],
  ['emit'],
  ['toolchain'],
  ['compile', 'inspect', 'inspectGpus', 'inspectRanks'],
  ['search'],
  ['evaluate'],
  ['compilePackage'],
  ['cli', 'index'],
  ['start'],
];

/** `runtime` stands beside the compiler: it is in packages' hands, and none of the compiler but this is. */
const runtimeMayImport: readonly string[] = ['util', 'ir', 'mask', 'arch', 'kernels'];
/** The one file of it that compiles: for the emulator, with the host's compiler. */
const runtimeCompiles = 'src/runtime/emulatorLibrary.ts';
const mayImportRuntime: readonly string[] = ['start'];

interface Import {
  readonly from: string;
  /** Below the repository. */
  readonly to: string;
}

/** What a file imports: `import`, `export from`, `import()`, and `import('...')` types. With `atStart`, only what is loaded with it. */
function namesImportedBy({ tree }: SourceTree, atStart = false): string[] {
  const found: string[] = [];
  const add = (node: ts.Node | undefined): void => {
    if (node !== undefined && ts.isStringLiteral(node)) found.push(node.text);
  };
  for (const node of nodesOf(tree)) {
    const typeOnly = (ts.isImportDeclaration(node) && node.importClause?.isTypeOnly === true) || (ts.isExportDeclaration(node) && node.isTypeOnly);
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) add(atStart && typeOnly ? undefined : node.moduleSpecifier);
    else if (atStart) continue;
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) add(node.arguments[0]);
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) add(node.argument.literal);
  }
  return found;
}

/** Imports of other files of `src`. */
const importsOf = (file: SourceTree): Import[] =>
  namesImportedBy(file).filter((name) => name.startsWith('.')).map((name) => ({ from: file.path, to: join(dirname(file.path), name) }));

/** `src/ir/nodes.ts` and `src/compile.ts` belong to `ir` and `compile`. */
const unitOf = (path: string): string => path.split('/')[1]!.replace(/\.ts$/, '');
const rankOf = (unit: string): number => order.findIndex((units) => units.includes(unit));
const show = ({ from, to }: Import): string => `${from} -> ${to}`;

const imports = sources.flatMap(importsOf);

test('every folder of src has its place in the order', () => {
  const unknown = [...new Set(sources.map(({ path }) => unitOf(path)))].filter((unit) => unit !== 'runtime' && rankOf(unit) < 0);
  expect(unknown, 'say in this test, and in ARCHITECTURE.md, what these may import').toEqual([]);
});

test('imports name files of src, with their extension', () => {
  const paths = new Set(sources.map(({ path }) => path));
  expect(imports.filter(({ to }) => !paths.has(to) && !to.endsWith('.json')).map(show)).toEqual([]);
});

test('the compiler imports in one direction', () => {
  const wrong = imports.filter(({ from, to }) => {
    const [user, used] = [unitOf(from), unitOf(to)];
    return user !== 'runtime' && used !== 'runtime' && user !== used && rankOf(used) >= rankOf(user);
  });
  expect(wrong.map(show)).toEqual([]);
});

describe('runtime', () => {
  test('imports what packages carry, and never the compiler', () => {
    const wrong = imports.filter(({ from, to }) => {
      const allowed = ['runtime', ...runtimeMayImport].some((folder) => to.startsWith(`src/${folder}/`));
      return unitOf(from) === 'runtime' && !allowed && !(from === runtimeCompiles && unitOf(to) === 'toolchain');
    });
    expect(wrong.map(show)).toEqual([]);
  });

  test('is imported by no part of the compiler', () => {
    const wrong = imports.filter(({ from, to }) => unitOf(to) === 'runtime' && !['runtime', ...mayImportRuntime].includes(unitOf(from)));
    expect(wrong.map(show)).toEqual([]);
  });

  test('reaches no reader of plans, no pass and no npm package, whatever it imports on the way', () => {
    const reached = new Set(sources.map(({ path }) => path).filter((path) => unitOf(path) === 'runtime'));
    for (const path of reached) imports.filter(({ from }) => from === path).forEach(({ to }) => reached.add(to));
    const compiler = [...reached].filter((path) => unitOf(path) !== 'runtime' && (rankOf(unitOf(path)) > rankOf('toolchain') || unitOf(path) === 'plan' || /^src\/passes\/\w+\.ts$/.test(path)));
    expect(compiler).toEqual([]);
    const packages = sources.filter(({ path }) => reached.has(path)).flatMap((file) => namesImportedBy(file).filter((name) => !/^(\.|node:)/.test(name)).map((name) => `${file.path} -> ${name}`));
    expect(packages).toEqual([]);
  });
});

test('the code generator is loaded by the command that compiles alone', () => {
  const loadedWith = (...entries: readonly string[]): ReadonlySet<string> => {
    const loaded = new Set(entries);
    for (const path of loaded) {
      const file = sources.find((source) => source.path === path);
      if (file !== undefined) for (const name of namesImportedBy(file, true)) loaded.add(name.startsWith('.') ? join(dirname(path), name) : name);
    }
    return loaded;
  };
  expect(loadedWith('src/cli/compileCommand.ts')).toContain('ts-morph');
  expect(loadedWith('src/cli/main.ts', 'src/cli/inspectCommand.ts', 'src/cli/searchCommand.ts', 'src/cli/checkPlanCommand.ts')).not.toContain('ts-morph');
});

test('files do not import each other in a circle', () => {
  const next = new Map<string, readonly string[]>();
  for (const { from, to } of imports) next.set(from, [...(next.get(from) ?? []), to]);
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    if (trail.includes(path)) expect.fail(`a circle: ${[...trail.slice(trail.indexOf(path)), path].join(' -> ')}`);
    if (done.has(path)) return;
    for (const to of next.get(path) ?? []) visit(to, [...trail, path]);
    done.add(path);
  };
  for (const { path } of sources) visit(path, []);
});
