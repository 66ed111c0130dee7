/** Habits of STYLE that a script can check. */
import { ts } from 'ts-morph';
import { expect, test } from 'vitest';
import { filesBelow, lineOf, nodesOf, sources, type SourceTree } from './sources.ts';

const maxLines = 450;

/** `path:line` of every node in `src` that `matches`. */
function places(matches: (node: ts.Node, file: SourceTree) => boolean, except: (path: string) => boolean = () => false): string[] {
  return sources
    .filter(({ path }) => !except(path))
    .flatMap((file) => [...nodesOf(file.tree)].filter((node) => matches(node, file)).map((node) => `${file.path}:${lineOf(file, node)}`));
}

const isText = (node: ts.Node): node is ts.LiteralLikeNode | ts.Identifier => ts.isStringLiteralLike(node) || ts.isTemplateHead(node) || ts.isTemplateMiddleOrTemplateTail(node) || ts.isIdentifier(node);

test('nothing outside src/arch names an architecture; help texts of the command line do', () => {
  const found = places((node) => isText(node) && /\bsm_\d/.test(node.text), (path) => path.startsWith('src/arch/') || path.startsWith('src/cli/'));
  expect(found).toEqual([]);
});

test('only the table of variants asks which family an architecture is of', () => {
  const isFamily = (node: ts.Node | undefined): boolean => node !== undefined && ts.isIdentifier(node) && node.text === 'family';
  const reads = (node: ts.Node): boolean => (ts.isPropertyAccessExpression(node) && isFamily(node.name)) || (ts.isBindingElement(node) && isFamily(node.propertyName ?? node.name));
  const asks = (path: string): boolean => /^src\/(passes|kernels|emit|toolchain|runtime)\//.test(path) && path !== 'src/kernels/variants.ts';
  expect(places(reads, (path) => !asks(path))).toEqual([]);
});

test('no template and no header names an architecture in code', () => {
  const withoutComments = (text: string): string => text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/\/\/.*$/gm, '').replace(/\{\{!--[\s\S]*?--\}\}/g, '');
  const files = [...filesBelow('templates', '.cuh'), ...filesBelow('templates', '.hbs')];
  expect(files.length).toBeGreaterThan(10);
  expect(files.filter(({ text }) => /\bsm_\d|__CUDA_ARCH/.test(withoutComments(text))).map(({ path }) => path)).toEqual([]);
});

test(`no file of src has more than ${maxLines} lines`, () => {
  expect(sources.filter(({ text }) => text.split('\n').length > maxLines + 1).map(({ path }) => path)).toEqual([]);
});

test('only src/util/debug.ts reads environment variables', () => {
  const isEnvironment = (node: ts.Node, { tree }: SourceTree): boolean => ts.isPropertyAccessExpression(node) && /^process\s*\.\s*env$/.test(node.getText(tree));
  expect(places(isEnvironment, (path) => path === 'src/util/debug.ts' || path.startsWith('src/cli/'))).toEqual([]);
});

test('nothing in src is of type any', () => {
  expect(places((node) => node.kind === ts.SyntaxKind.AnyKeyword)).toEqual([]);
});

test('no check of the compiler or the linter is turned off in src', () => {
  expect(sources.filter(({ text }) => /@ts-(ignore|nocheck|expect-error)|oxlint-disable|eslint-disable/.test(text)).map(({ path }) => path)).toEqual([]);
});

test('every header opens with a sentence that says what it is for', () => {
  const headers = [...filesBelow('templates/include/moa', '.cuh'), ...filesBelow('templates/cuda/moa', '.cuh'), ...filesBelow('native/emulator/include/moa/primitives', '.cuh')];
  expect(headers.filter(({ text }) => !/^\/\/ [A-Z][^\n]{8,}/.test(text)).map(({ path }) => path)).toEqual([]);
});

test('the emulator has a header for every primitive of the GPU, and no other', () => {
  const names = (folder: string): string[] => filesBelow(folder, '.cuh').map(({ path }) => path.slice(folder.length));
  expect(names('native/emulator/include/moa/primitives')).toEqual(names('templates/cuda/moa/primitives'));
});

test('only src/ir says what of the plan\'s sink a layer has: passes, packages and the runtime take a layer\'s own', () => {
  const follows = (path: string): boolean => /^src\/(passes|emit|runtime|mask|inspect)/.test(path);
  const readsSink = (node: ts.Node, { tree }: SourceTree): boolean => {
    if (ts.isPropertyAccessExpression(node)) return /\blimits\.sink$/.test(node.getText(tree));
    return ts.isVariableDeclaration(node) && /\bsink\b[^=]*=[^=]*\blimits$/.test(node.getText(tree));
  };
  expect(places(readsSink, (path) => !follows(path))).toEqual([]);
});
