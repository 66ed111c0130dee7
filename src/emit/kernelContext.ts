/** What the templates may name: one flat record per kernel. Templates choose and place; everything is computed here. */
import { scoreWords } from '../ir/attention.ts';
import { paramStruct } from '../ir/kernelParams.ts';
import type { AppendKernel, DecodeKernel, ElementType, ExpandKernel, KernelNode, ScoreOptions, WgmmaPrefillKernel } from '../ir/nodes.ts';
import { decodeSegmentWords, prefillItemWords } from '../ir/workItems.ts';
import type { MaskFamily } from '../mask/mask.ts';
import { assertNever } from '../util/invariant.ts';
import { maskContext, type MaskContext } from './printCuda.ts';

interface SharedContext {
  readonly name: string;
  /** `bf16`; the C++ tag is `element`. */
  readonly elementType: string;
  readonly element: 'Bfloat16' | 'Half';
  readonly headDim: number;
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly sink: number;
  readonly threads: number;
  readonly minBlocksPerSm: number;
  readonly sharedBytes: number;
  /** Declarations are padded to one width, so that comments line up. */
  readonly params: readonly { readonly declaration: string; readonly name: string; readonly offset: number; readonly comment: string }[];
  readonly paramsBytes: number;
}

/** How pages hold keys and values. */
interface CacheContext {
  readonly cacheHeader: string;
  readonly cacheClass: string;
  readonly cacheText: string;
}

/** What is done to scores besides masking them. */
interface ScoreContext {
  /** A literal; empty without a cap. */
  readonly softCap: string;
  readonly learnedSinks: boolean;
  readonly scoreText: string;
}

export interface PrefillContext extends SharedContext, MaskContext, ScoreContext {
  readonly rows: number;
  readonly warps: number;
  readonly itemBytes: number;
  readonly shape: Readonly<Record<'groupSize' | 'queryHeads' | 'sink', string>>;
}

export interface WgmmaPrefillContext extends SharedContext, MaskContext, ScoreContext {
  readonly groups: number;
  readonly stages: number;
  readonly holdsQueries: boolean;
  readonly producerRegisters: number;
  readonly computeRegisters: number;
  readonly partialFloats: number;
  readonly itemBytes: number;
  readonly shape: PrefillContext['shape'];
}

/** Which elements of a head turn, where a kernel rotates. */
interface RopeContext {
  readonly rope: boolean;
  readonly ropeText: string;
  readonly rotaryDim: number;
  readonly interleaved: boolean;
}

export interface DecodeContext extends SharedContext, MaskContext, ScoreContext, CacheContext, RopeContext {
  readonly stages: number;
  /** Tiles of 8 query heads in a group. */
  readonly headTiles: number;
  readonly groups: number;
  readonly inFlight: number;
  /** Rows of queries that a segment attends for, at most. */
  readonly tileRows: number;
  /** What of the model's shape is compiled in, or the fields that hold it. */
  readonly shape: Readonly<Record<'groupSize' | 'queryHeads' | 'kvHeads' | 'sink', string>>;
  readonly attendClass: string;
  readonly attendHeader: string;
  readonly pagesClass: string;
  readonly pagesHeader: string;
  readonly producer: boolean;
  readonly manyTokens: boolean;
  readonly tokensText: string;
  readonly ageMask: boolean;
  readonly ageMaskText: string;
  readonly partialFloats: number;
  readonly segmentBytes: number;
}

export interface AppendContext extends SharedContext, CacheContext, RopeContext {}

export type ExpandContext = SharedContext;

export type KernelContext = PrefillContext | WgmmaPrefillContext | DecodeContext | AppendContext | ExpandContext;

/** @param family of the masks; the kernel's own has its sink */
export function kernelContext(kernel: KernelNode, family: MaskFamily): KernelContext {
  const mask = family(kernel.sink);
  const shared = sharedContext(kernel);
  switch (kernel.role) {
    case 'prefill': {
      const { rows, warps } = kernel;
      return { ...shared, ...maskContext(mask), ...scoreContext(kernel), rows, warps, itemBytes: prefillItemWords * 4, shape: shapeOf(kernel) };
    }
    case 'prefillWgmma': {
      const { groups, stages, holdsQueries, producerRegisters, computeRegisters } = kernel;
      return { ...shared, ...maskContext(mask), ...scoreContext(kernel), groups, stages, holdsQueries, producerRegisters, computeRegisters, partialFloats: partialFloats(kernel), itemBytes: prefillItemWords * 4, shape: shapeOf(kernel) };
    }
    case 'decode':
      return {
        ...shared,
        ...maskContext(mask),
        ...scoreContext(kernel),
        stages: kernel.stages,
        tileRows: kernel.tileRows,
        headTiles: Math.ceil(kernel.tileRows / 8),
        shape: { ...shapeOf(kernel), kvHeads: kernel.specialised ? String(kernel.kvHeads) : 'p.kvHeads' },
        ...cacheContext(kernel),
        attendClass: kernel.compute === 'tensorCores' ? 'MmaAttend' : 'FmaAttend',
        attendHeader: kernel.compute === 'tensorCores' ? 'mmaAttend' : 'fmaAttend',
        ...pagesContext(kernel),
        groups: kernel.groups,
        inFlight: kernel.inFlight,
        producer: kernel.producer,
        ...ropeContext(kernel),
        manyTokens: !kernel.appends,
        tokensText: kernel.tokens > 1 ? ` of up to ${kernel.tokens} tokens of a sequence at once` : '',
        ageMask: kernel.ageMask,
        ageMaskText: ageMaskText(kernel),
        partialFloats: partialFloats(kernel),
        segmentBytes: decodeSegmentWords * 4,
      };
    case 'append':
      return { ...shared, ...cacheContext(kernel), ...ropeContext(kernel) };
    case 'expand':
      return shared;
    default:
      return assertNever(kernel);
  }
}

/**
 * Floats of the partial result of one split: for each row its output, maximum and sum. Of decode a row is a query head of the group, and has 16 bytes
 * for maximum and sum.
 */
export function partialFloats(kernel: DecodeKernel | WgmmaPrefillKernel): number {
  return kernel.role === 'decode' ? kernel.tileRows * (kernel.headDim + 4) : kernel.rows * (kernel.headDim + 2);
}

/** Who brings pages: a warp of its own, or each warp for itself, of one stage its halves apart. */
function pagesContext({ producer, stages }: DecodeKernel): Pick<DecodeContext, 'pagesClass' | 'pagesHeader'> {
  if (producer) return { pagesClass: 'BulkPages', pagesHeader: 'bulkPages' };
  return stages > 1 ? { pagesClass: 'CpAsyncPages', pagesHeader: 'cpAsyncPages' } : { pagesClass: 'CpAsyncHalves', pagesHeader: 'cpAsyncHalves' };
}

function ageMaskText({ appends, ageMask }: DecodeKernel): string {
  if (!appends) return 'Each row of queries masks by its own position.';
  return ageMask ? 'Query heads with a window shorter than their ring mask by age.' : 'All query heads of a ring have its window: no age mask.';
}

/** What of the model's shape is compiled in, or the fields of the launch that hold it. */
function shapeOf({ specialised, groupSize, queryHeads, sink }: Exclude<KernelNode, AppendKernel | ExpandKernel>): PrefillContext['shape'] {
  if (!specialised) return { groupSize: 'p.groupSize', queryHeads: 'p.queryHeads', sink: 'p.sink' };
  return { groupSize: String(groupSize), queryHeads: String(queryHeads), sink: String(sink) };
}

function ropeContext({ rope, rotaryDim, pairing, headDim }: DecodeKernel | AppendKernel): RopeContext {
  const interleaved = pairing === 'interleaved';
  const traits = [...(rotaryDim < headDim ? [`of the first ${rotaryDim} elements`] : []), ...(interleaved ? ['of neighbours'] : [])];
  return { rope, ropeText: rope ? [' with RoPE', ...traits].join(' ') : '', rotaryDim, interleaved };
}

function scoreContext({ softCap, learnedSinks }: ScoreOptions): ScoreContext {
  const words = scoreWords({ softCap, learnedSinks });
  return { softCap: softCap > 0 ? floatLiteral(softCap) : '', learnedSinks, scoreText: words.map((word) => `, ${word}`).join('') };
}

/** `50.0`: a C++ literal, without its suffix. */
const floatLiteral = (value: number): string => (Number.isInteger(value) ? `${value}.0` : String(value));

function cacheContext({ cacheType, elementType, headDim }: DecodeKernel | AppendKernel): CacheContext {
  const element = elementOf(elementType);
  return cacheType === 'e4m3'
    ? { cacheHeader: 'cache8', cacheClass: `Cache8<${headDim}, moa::${element}>`, cacheText: ', cache e4m3' }
    : { cacheHeader: 'cache16', cacheClass: `Cache16<${headDim}, moa::${element}>`, cacheText: '' };
}

const elementOf = (elementType: ElementType): 'Bfloat16' | 'Half' => (elementType === 'bf16' ? 'Bfloat16' : 'Half');

function sharedContext(kernel: KernelNode): SharedContext {
  const { name, elementType, headDim, queryHeads, kvHeads, sink, threads, minBlocksPerSm, sharedBytes } = kernel;
  const struct = paramStruct(kernel.role, 'learnedSinks' in kernel ? kernel : {});
  const declarations = struct.fields.map(({ cType, name: field }) => `${cType} ${field};`);
  const width = Math.max(...declarations.map((declaration) => declaration.length));
  return {
    name,
    elementType,
    element: elementOf(elementType),
    headDim,
    queryHeads,
    kvHeads,
    sink,
    threads,
    minBlocksPerSm,
    sharedBytes,
    params: struct.fields.map((field, index) => ({ declaration: declarations[index]!.padEnd(width), name: field.name, offset: field.offset, comment: field.comment })),
    paramsBytes: struct.bytes,
  };
}
