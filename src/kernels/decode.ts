/** What the variants of decode have in common. They differ in how pages reach shared memory. */
import { float32, int32, pointer } from '../ir/kernelParams.ts';
import type { DecodeCompute, DecodeFacts, DecodeKernel, VariantOf } from '../ir/nodes.ts';
import { structs } from '../ir/structs.ts';
import {
  cacheContext,
  ropeContext,
  scoreContext,
  shapeContext,
  type CacheContext,
  type RopeContext,
  type ScoreContext,
  type ShapeContext,
} from './contexts.ts';
import { decodeRowTiles, decodeTileRows } from './decodeRows.ts';
import { decodeSharedBytes, fitDecodeTile, type DecodeTile } from './decodeTile.ts';
import { headsName, ropeTraits, scoreTraits } from './names.ts';
import type { DecodeRequest, ParamList, VariantFeatures } from './variant.ts';

/** What the variants differ in, besides their tiles. */
export interface DecodeTraits<Variant extends VariantOf<'decode'>> {
  readonly variant: Variant;
  /** In names of kernels; empty for the portable variant. */
  readonly word: string;
  readonly features: VariantFeatures;
  /** The largest group of query heads for which CUDA cores multiply faster than tensor cores. */
  readonly cudaCoresUpToGroup: number;
}

export const decodeParams: ParamList = {
  name: 'decode',
  fields: [
    pointer('q', 'const uint16_t*', '[slots][queryHeads][headDim], or with cuSeqlens [tokens]...'),
    pointer('k', 'const uint16_t*', '[slots][kvHeads][headDim]'),
    pointer('v', 'const uint16_t*', '[slots][kvHeads][headDim]'),
    pointer('out', 'uint16_t*', '[slots][queryHeads][headDim]'),
    pointer('lse', 'float*', '[slots][queryHeads] natural log, or null'),
    pointer('pool', 'uint16_t*', '[pages] K page, V page'),
    pointer('pageTable', 'const int*', 'page numbers, ring after ring'),
    pointer('cuSeqlens', 'const int*', '[slots + 1] rows of q where those of each slot begin: slots with one are decoded. Null: a row for each slot'),
    pointer('segments', 'const moa::PlannedSegment*', 'of the plan: first those that blocks begin with, in the order of blocks'),
    pointer('windows', 'const int*', '[slots][queryHeads] tokens, of this layer'),
    pointer('lengths', 'int*', '[slots] tokens in the cache of this layer, -1 without a sequence; advanced by one'),
    pointer('rope', 'const float*', 'table of the rotation of this layer (rotate.cuh); unused without RoPE'),
    pointer('partials', 'float*', 'results of splits'),
    pointer('tickets', 'uint32_t*', 'counters, 0 between launches: of those who read lengths, then of finished splits'),
    float32('scale', 'multiplies q.k'),
    int32('slots', 'sequences'),
    pointer('kvScales', 'const float*', '[2][kvHeads] of keys, of values, of this layer; unused but with a cache of 8 bits'),
    int32('groupSize', 'query heads of a KV head; used by kernels that are not specialised, as are the next three'),
    int32('queryHeads', 'of the model'),
    int32('kvHeads', 'of the model'),
    int32('sink', 'tokens'),
    int32('early', 'not 0: the launch before wrote nothing of this layer, so its old pages may be read before that has ended'),
    int32('ropeShift', 'log2 of the positions of a block of the table; unused without RoPE'),
  ],
};

/** The kernel that does what is asked for, from the tile that was measured. */
export function decodeFacts<Variant extends VariantOf<'decode'>>(
  { variant, word, features, cudaCoresUpToGroup }: DecodeTraits<Variant>,
  request: DecodeRequest,
  measured: DecodeTile,
): DecodeFacts & { readonly variant: Variant } {
  const { base, architecture, layout, scores, specialised, appends, tokens, rope } = request;
  const { headDim } = base;
  const { producerWarp } = features;
  const { cacheType, pageBytes } = layout;
  const tileRows = specialised ? decodeRowTiles(base, tokens).rows : decodeTileRows(headDim);
  const shape = { producerWarp, rows: tileRows, headDim, pageBytes };
  const tile = fitDecodeTile(measured, cacheType, shape, architecture);
  const compute = computeOf(request, cudaCoresUpToGroup);
  // Tokens that are in the rings already are masked by their positions.
  const ageMask = request.ageMask || !specialised || !appends;
  const { stages, groups, blocksPerSm, residentBlocksPerSm } = tile;
  const traits = [
    `s${stages}${groups > 1 ? `x${groups}` : ''}`,
    ...(word === '' ? [] : [word]),
    ...(cacheType === 'e4m3' ? ['e4m3'] : []),
    ...(compute === 'cudaCores' ? ['cores'] : []),
    ...(specialised ? [] : ['any']),
    ...(appends ? (ageMask ? ['age'] : []) : [`t${tokens}`]),
    ...ropeTraits(rope, base),
    ...scoreTraits(scores),
  ];
  return {
    ...base,
    role: 'decode',
    variant,
    name: `moa_decode_${headsName(base)}_${traits.join('_')}`,
    threads: (groups * 4 + (producerWarp ? 1 : 0)) * 32,
    minBlocksPerSm: residentBlocksPerSm,
    sharedBytes: decodeSharedBytes(tile, shape),
    stages,
    groups,
    blocksPerSm,
    appends,
    tokens,
    tileRows,
    ageMask,
    rope: rope.rotaryDim > 0,
    ...rope,
    cacheType,
    compute,
    specialised,
    ...scores,
  };
}

/** CUDA cores read 16-bit elements, keep the queries of few heads, and take one token. */
function computeOf(
  { base, layout, specialised, appends, compute }: DecodeRequest,
  cudaCoresUpToGroup: number,
): DecodeCompute {
  const { groupSize, headDim } = base;
  const hasCores = layout.cacheType === 'element' && headDim <= 128 && groupSize <= 8 && specialised;
  if (!hasCores || !appends) return 'tensorCores';
  return compute ?? (groupSize <= cudaCoresUpToGroup ? 'cudaCores' : 'tensorCores');
}

/** Which class brings the pages. */
export interface PagesContext {
  readonly pagesClass: string;
  readonly pagesHeader: string;
  /** Whether a warp of its own does; then so many pages are on their way at once, and before the launch before has ended. */
  readonly producer: boolean;
  readonly inFlight: number;
  readonly inFlightAtFirst: number;
}

interface DecodeContext extends ScoreContext, CacheContext, RopeContext, PagesContext {
  readonly stages: number;
  readonly groups: number;
  /** Rows of queries that a segment attends for, at most, and tiles of 8 of them. */
  readonly tileRows: number;
  readonly headTiles: number;
  readonly shape: ShapeContext & { readonly kvHeads: string };
  readonly attendClass: string;
  readonly attendHeader: string;
  readonly manyTokens: boolean;
  readonly tokensText: string;
  readonly ageMask: boolean;
  readonly ageMaskText: string;
  readonly partialFloats: number;
  readonly segmentBytes: number;
}

export function decodeContext(kernel: DecodeKernel, pages: PagesContext): DecodeContext {
  const { stages, groups, tileRows, specialised, kvHeads, compute, appends, tokens, ageMask } = kernel;
  return {
    ...scoreContext(kernel),
    ...cacheContext(kernel),
    ...ropeContext(kernel),
    ...pages,
    stages,
    groups,
    tileRows,
    headTiles: Math.ceil(tileRows / 8),
    shape: { ...shapeContext(kernel), kvHeads: specialised ? String(kvHeads) : 'p.kvHeads' },
    attendClass: compute === 'tensorCores' ? 'MmaAttend' : 'FmaAttend',
    attendHeader: compute === 'tensorCores' ? 'mmaAttend' : 'fmaAttend',
    manyTokens: !appends,
    tokensText: tokens > 1 ? ` of up to ${tokens} tokens of a sequence at once` : '',
    ageMask,
    ageMaskText: ageMaskText(kernel),
    partialFloats: decodePartialFloats(kernel),
    segmentBytes: structs.PlannedSegment.bytes,
  };
}

function ageMaskText({ appends, ageMask }: DecodeKernel): string {
  if (!appends) return 'Each row of queries masks by its own position.';
  return ageMask
    ? 'Query heads with a window shorter than their ring mask by age.'
    : 'All query heads of a ring have its window: no age mask.';
}

/** A row is a query head of the group and a token, and has 16 bytes for maximum and sum. */
export const decodePartialFloats = ({ tileRows, headDim }: DecodeKernel): number =>
  tileRows * (headDim + 4);
