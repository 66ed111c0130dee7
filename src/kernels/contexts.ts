/** Fields of templates that kernels of several roles have. */
import { scoreWords } from '../ir/attention.ts';
import type { AppendKernel, DecodeKernel, ElementType, KernelNode, ScoreOptions } from '../ir/nodes.ts';

/** Which C++ tag an element type has. */
export const elementOf = (elementType: ElementType): 'Bfloat16' | 'Half' =>
  elementType === 'bf16' ? 'Bfloat16' : 'Half';

/** What is done to scores besides masking them. */
export interface ScoreContext {
  /** A literal; empty without a cap. */
  readonly softCap: string;
  readonly learnedSinks: boolean;
  readonly scoreText: string;
}

export function scoreContext({ softCap, learnedSinks }: ScoreOptions): ScoreContext {
  const words = scoreWords({ softCap, learnedSinks });
  return {
    softCap: softCap > 0 ? floatLiteral(softCap) : '',
    learnedSinks,
    scoreText: words.map((word) => `, ${word}`).join(''),
  };
}

/** `50.0`: a C++ literal, without its suffix. */
const floatLiteral = (value: number): string =>
  Number.isInteger(value) ? `${value}.0` : String(value);

/** What is compiled in of the model's shape, or the fields of the launch that hold it. */
export type ShapeContext = Readonly<Record<'groupSize' | 'queryHeads' | 'sink', string>>;

export function shapeContext({
  specialised,
  groupSize,
  queryHeads,
  sink,
}: Extract<KernelNode, { readonly specialised: boolean }>): ShapeContext {
  if (!specialised) return { groupSize: 'p.groupSize', queryHeads: 'p.queryHeads', sink: 'p.sink' };
  return { groupSize: String(groupSize), queryHeads: String(queryHeads), sink: String(sink) };
}

/** Which elements of a head turn, where a kernel rotates. */
export interface RopeContext {
  readonly rope: boolean;
  readonly ropeText: string;
  readonly rotaryDim: number;
  readonly interleaved: boolean;
}

export function ropeContext({
  rope,
  rotaryDim,
  pairing,
  headDim,
}: DecodeKernel | AppendKernel): RopeContext {
  const interleaved = pairing === 'interleaved';
  const traits = [
    ...(rotaryDim < headDim ? [`of the first ${rotaryDim} elements`] : []),
    ...(interleaved ? ['of neighbours'] : []),
  ];
  const ropeText = rope ? [' with RoPE', ...traits].join(' ') : '';
  return { rope, ropeText, rotaryDim, interleaved };
}

/** How pages hold keys and values. */
export interface CacheContext {
  readonly cacheHeader: string;
  readonly cacheClass: string;
  readonly cacheText: string;
}

export function cacheContext({
  cacheType,
  elementType,
  headDim,
}: DecodeKernel | AppendKernel): CacheContext {
  const types = `<${headDim}, moa::${elementOf(elementType)}>`;
  return cacheType === 'e4m3'
    ? { cacheHeader: 'cache8', cacheClass: `Cache8${types}`, cacheText: ', cache e4m3' }
    : { cacheHeader: 'cache16', cacheClass: `Cache16${types}`, cacheText: '' };
}
