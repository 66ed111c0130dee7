/** The variables of sizes and grids in packages. `N`, the length bound, is that of spans alone. */
import { variable, type Expression } from '../ir/affine.ts';

const meanings = {
  queryHeads: "of the package's `shape`",
  kvHeads: "of the package's `shape`",
  slots: 'of the session, each for one sequence',
  layers: 'of the session: those of the package that it serves',
  classes: 'of the session: sets of its layers that `tables.layerClass` gives one number',
  sinkCount: "different `sink`s of the session's layers",
  entries: "of the session's page table",
  slotPages: 'entries of the page table that one slot has in a layer, in the class where these are most',
  pages: 'of the pool',
  multiprocessors: 'of the device',
  decodeTokens: 'the most new tokens of a sequence in a decode; 1 for the plan of a decode that appends its token',
  blocksPerSm: '`blocksPerSm` of a decode kernel: the largest of those that share the plan',
  partialFloats: '`partialFloats` of a kernel: the largest of those that share the memory',
  threads: '`threads` of the prefill kernel',
  items: 'work items that the list of a class has space for',
  parts: 'work items that may be one of two: at most `items`',
  tokens: 'new tokens of all sequences in a launch',
  decodeClasses: '`classes` where the step plans decode, else 0',
  rotaryPairs: 'half the elements of a head that turn: `rotaryDim / 2` of the rotation',
  ropeBlock: 'positions of a block of the RoPE table: a power of two, whose log2 is `ropeShift` in launches',
  ropeBlocks: 'blocks that cover the length bound',
} as const;

export type HostVariable = keyof typeof meanings;

/** What each is; sizes of a set of buffers are variables besides. */
export const variableMeanings: Readonly<Record<HostVariable, string>> = meanings;

/** Values of variables, for `evaluate`. */
export type HostVariables = Readonly<Partial<Record<HostVariable, number>>>;

export const hostVariable = (name: HostVariable): Expression => variable(name);
