/** The files of `src` as syntax trees, for checks of structure. */
import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { ts } from 'ts-morph';

export const root = fileURLToPath(new URL('../../', import.meta.url));

export interface SourceText {
  /** Below the repository: `src/ir/nodes.ts`. */
  readonly path: string;
  readonly text: string;
}

/** Every file below `folder` whose name ends in `extension`, by path. */
export function filesBelow(folder: string, extension: string): readonly SourceText[] {
  const paths = readdirSync(`${root}${folder}`, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith(extension)).sort();
  return paths.map((path) => ({ path: `${folder}/${path}`, text: readFileSync(`${root}${folder}/${path}`, 'utf8') }));
}

export interface SourceTree extends SourceText {
  readonly tree: ts.SourceFile;
}

/** `src`, parsed. */
export const sources: readonly SourceTree[] = filesBelow('src', '.ts').map((file) => ({ ...file, tree: ts.createSourceFile(file.path, file.text, ts.ScriptTarget.ESNext, false) }));

/** Every node of a tree, comments excepted. */
export function* nodesOf(node: ts.Node): Generator<ts.Node> {
  yield node;
  const children: ts.Node[] = [];
  ts.forEachChild(node, (child) => void children.push(child));
  for (const child of children) yield* nodesOf(child);
}

/** The line of a node, from 1. */
export const lineOf = ({ tree }: SourceTree, node: ts.Node): number => tree.getLineAndCharacterOfPosition(node.getStart(tree)).line + 1;
