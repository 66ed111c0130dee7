/**
 * Chooses the kernels of every layer, and their tiles for every architecture, from the measured tables in `src/arch/tiles.ts` and
 * the architectures' limits.
 *
 *     layer 0: ring group {A, B} age mask: 0 1
 *   becomes, for bf16 and one architecture,
 *     kernels append, decode (4 stages, age mask), both with RoPE too, prefill (128 rows, 4 warps); each for layer 0
 *
 * Kernels are specialised by the sink, so layers with a window of the model's own, which have none, get kernels of their
 * own.
 *
 * Invariant: every layer has one prefill, the decode and the append kernels for each element type and architecture, and with a cache in E4M3 one
 * that expands its pages; no block asks for more shared memory than its architecture has.
 */
import type { Architecture } from '../arch/arch.ts';
import { decodeAppends, decodeCompute, decodeRowTiles, decodeTile, decodeTileRows, prefillTiles, wgmmaPrefillTiles, type DecodeTile, type PrefillTile } from '../arch/tiles.ts';
import { sinkOf } from '../ir/affine.ts';
import type { CacheLayout, CacheType, DecodeCompute, ElementType, KernelModule, KernelNode, KernelRope, LaidOutModule, ScoreOptions } from '../ir/nodes.ts';
import { prefillItemWords } from '../ir/workItems.ts';
import { invariant } from '../util/invariant.ts';
import type { PassContext } from './pass.ts';

export function selectTiles(module: LaidOutModule, context: PassContext): KernelModule {
  const { softCap, learnedSinks } = module.attention;
  const scores = { softCap, learnedSinks };
  const kernels = module.layers.flatMap((layer, index) => {
    const ageMask = layer.ringGroups.some(({ group }) => group.ageMask);
    return context.elementTypes.flatMap((elementType) =>
      context.architectures.flatMap((architecture) => {
        const facts = kernelFacts(module, elementType, architecture, index);
        const choice = decodeChoice(facts, context, architecture, ageMask);
        const appends = decodeAppends(facts);
        const ropes = [noRope, ...(context.rope ? ropesOf(module, index) : [])];
        return [
          ...ropes.flatMap((rope) => [appendKernel(facts, module.layout, rope), ...(appends ? [decodeKernel(facts, module.layout, choice, scores, rope)] : [])]),
          ...(context.decodeTokens > 1 || !appends ? [decodeKernel(facts, module.layout, inRings(choice), scores, noRope, context.decodeTokens)] : []),
          ...(module.layout.cacheType === 'e4m3' ? [expandKernel(facts)] : []),
          architecture.family === 'hopper' ? wgmmaPrefillKernel(facts, module.layout, choice, scores) : prefillKernel(facts, module.layout, choice, scores),
        ];
      }),
    );
  });
  return { ...module, kind: 'kernelModule', kernels };
}

const noRope: KernelRope = { rotaryDim: 0, pairing: 'halves' };

/** How kernels of a layer rotate besides those that do not: as the model does, or where it is not known all of a head, in halves. */
function ropesOf({ rope, shape }: LaidOutModule, layer: number): readonly KernelRope[] {
  if (rope === null) return [{ rotaryDim: shape.headDim, pairing: 'halves' }];
  const index = rope.layers[layer]!;
  if (index === null) return [];
  const { rotaryDim, pairing } = rope.ropes[index]!;
  return [{ rotaryDim, pairing }];
}

/** `rope`, `rope64`, `rope_interleaved`. */
const ropeTraits = ({ rotaryDim, pairing }: KernelRope, { headDim }: Facts): readonly string[] =>
  rotaryDim === 0 ? [] : [rotaryDim < headDim ? `rope${rotaryDim}` : 'rope', ...(pairing === 'interleaved' ? ['interleaved'] : [])];

type Facts = Pick<KernelNode, 'kind' | 'elementType' | 'headDim' | 'queryHeads' | 'kvHeads' | 'groupSize' | 'sink' | 'architectures' | 'layers'>;

function kernelFacts(module: LaidOutModule, elementType: ElementType, architecture: Architecture, layer: number): Facts {
  const { headDim, queryHeads, kvHeads } = module.shape;
  return {
    kind: 'kernel',
    elementType,
    headDim,
    queryHeads,
    kvHeads,
    groupSize: queryHeads / kvHeads,
    sink: sinkOf(module.limits, module.layers[layer]!.modelWindow),
    architectures: [architecture.name],
    layers: [layer],
  };
}

function headsName({ headDim, queryHeads, kvHeads, elementType, sink }: Facts): string {
  return `${elementType}_d${headDim}_h${queryHeads}_kv${kvHeads}_sink${sink}`;
}

/** `['cap50', 'lsink']`, of what is on. */
function scoreTraits({ softCap, learnedSinks }: ScoreOptions): readonly string[] {
  return [...(softCap > 0 ? [`cap${String(softCap).replace('.', 'p')}`] : []), ...(learnedSinks ? ['lsink'] : [])];
}

function prefillKernel(facts: Facts, { pageTokens }: CacheLayout, { architecture, specialised }: Pick<DecodeChoice, 'architecture' | 'specialised'>, scores: ScoreOptions): KernelNode {
  const bytesOf = ({ rows, warps }: PrefillTile): number =>
    (rows + 2 * pageTokens) * facts.headDim * 2 +
    itemBytes +
    Math.ceil((walkBytes + 4 * warps + (pageTokens * facts.headDim) / 8) / 16) * 16;
  const tile = prefillTiles[facts.headDim]?.find((each) => bytesOf(each) <= architecture.sharedBytesPerBlock);
  invariant(tile !== undefined, `there is a prefill tile for headDim ${facts.headDim} on ${architecture.name}`);
  const { rows, warps, minBlocksPerSm } = tile;
  return {
    ...facts,
    role: 'prefill',
    name: [`moa_prefill_${headsName(facts)}_m${rows}${specialised ? '' : '_any'}`, ...scoreTraits(scores)].join('_'),
    threads: warps * 32,
    minBlocksPerSm,
    sharedBytes: bytesOf(tile),
    rows,
    warps,
    specialised,
    ...scores,
  };
}

function wgmmaPrefillKernel(facts: Facts, { pageTokens }: CacheLayout, { specialised }: Pick<DecodeChoice, 'specialised'>, scores: ScoreOptions): KernelNode {
  const tile = wgmmaPrefillTiles[facts.headDim];
  invariant(tile !== undefined, `there are prefill tiles for headDim ${facts.headDim}`);
  const { groups, stages, tilePages, holdsQueries, queryStages, outputColumns, producerRegisters, computeRegisters } = tile;
  const rows = 64 * groups;
  const keyStages = holdsQueries ? stages + 1 : stages;
  const tiles = (queryStages * rows + (keyStages + stages) * tilePages * pageTokens) * facts.headDim * 2 + rows * outputColumns * 2;
  const items = 4;
  // What the warps that scan values for those that are not finite share: 128 marks a stage, a queue, votes. Two bytes for each warp of an item: what the
  // second pass computes again.
  const scans = stages + 1;
  const scanBytes = 16 * stages + 4 * (scans + 2 * 3) + 2 * items * 4 * groups;
  const barriers = 2 * (keyStages + stages + queryStages) + items + scans;
  return {
    ...facts,
    role: 'prefillWgmma',
    name: [`moa_prefill_${headsName(facts)}_m${rows}_s${stages}_wgmma${specialised ? '' : '_any'}`, ...scoreTraits(scores)].join('_'),
    threads: (groups + 1) * 128,
    minBlocksPerSm: 1,
    // Queries, keys and values, O on its way, items, what is known of each stage of keys, scans, barriers.
    sharedBytes: Math.ceil((tiles + items * itemBytes + 16 * keyStages + Math.ceil(scanBytes / 8) * 8 + 8 * barriers) / 16) * 16,
    rows,
    groups,
    stages,
    holdsQueries,
    producerRegisters,
    computeRegisters,
    specialised,
    ...scores,
  };
}

const itemBytes = prefillItemWords * 4;
/** What a block of prefill keeps of its way through the pages (templates/include/moa/prefill/mmaPrefill.cuh). */
const walkBytes = 48;

interface DecodeChoice {
  readonly architecture: Architecture;
  readonly tile: DecodeTile;
  readonly compute: DecodeCompute;
  readonly specialised: boolean;
  readonly appends: boolean;
  readonly ageMask: boolean;
}

function decodeChoice({ headDim, groupSize }: Facts, { ablations, cacheType }: PassContext, architecture: Architecture, ageMask: boolean): DecodeChoice {
  const tile = decodeTile(architecture, headDim);
  invariant(tile !== undefined, `there are decode tiles for headDim ${headDim}`);
  const specialised = !ablations.includes('unspecialised');
  // CUDA cores read elements, and keep the queries of few heads.
  const hasCores = cacheType === 'element' && headDim <= 128 && groupSize <= 8 && specialised;
  const wanted = ablations.includes('cuda-cores') ? 'cudaCores' : ablations.includes('tensor-cores') ? 'tensorCores' : decodeCompute(architecture, groupSize);
  return { architecture, tile, compute: hasCores ? wanted : 'tensorCores', specialised, appends: true, ageMask: ageMask || !specialised };
}

/** Where tokens are in the rings already, a kernel takes (token, query head) pairs on tensor cores, masks each by its position, and rotates nothing. */
const inRings = (choice: DecodeChoice): DecodeChoice => ({ ...choice, appends: false, compute: 'tensorCores', ageMask: true });

function decodeKernel(facts: Facts, { pageBytes, cacheType }: CacheLayout, { architecture, tile, compute, specialised, appends, ageMask }: DecodeChoice, scores: ScoreOptions, rope: KernelRope, tokens = 1): KernelNode {
  const producer = architecture.family === 'hopper';
  const rows = specialised ? decodeRowTiles(facts, tokens).rows : decodeTileRows(facts.headDim);
  const shape = { producer, rows, headDim: facts.headDim, pageBytes };
  const fitted = fitDecodeTile(tileFor(tile, shape, cacheType), shape, architecture);
  const { stages, groups, blocksPerSm, residentBlocksPerSm } = fitted;
  const traits = [
    `s${stages}${groups > 1 ? `x${groups}` : ''}`,
    ...(producer ? ['bulk'] : []),
    ...(cacheType === 'e4m3' ? ['e4m3'] : []),
    ...(compute === 'cudaCores' ? ['cores'] : []),
    ...(specialised ? [] : ['any']),
    ...(appends ? (ageMask ? ['age'] : []) : [`t${tokens}`]),
    ...ropeTraits(rope, facts),
    ...scoreTraits(scores),
  ];
  return {
    ...facts,
    role: 'decode',
    name: `moa_decode_${headsName(facts)}_${traits.join('_')}`,
    threads: (groups * 4 + (producer ? 1 : 0)) * 32,
    minBlocksPerSm: residentBlocksPerSm,
    sharedBytes: decodeSharedBytes(fitted, shape),
    stages,
    groups,
    producer,
    inFlight: producer ? Math.min(fitted.inFlight, stages) : stages,
    blocksPerSm,
    appends,
    tokens,
    tileRows: rows,
    ageMask,
    rope: rope.rotaryDim > 0,
    ...rope,
    cacheType,
    compute,
    specialised,
    ...scores,
  };
}

/** The tile for as many bytes in flight, whatever a page has; over 8 rows take the registers of two groups of warps. */
function tileFor(tile: DecodeTile, { producer, rows }: DecodeShape, cacheType: CacheType): DecodeTile {
  const wide = rows > 8;
  const perGroup = wide && !producer ? tile.groups : 1;
  const deeper = cacheType === 'e4m3' ? 2 : 1;
  return { ...tile, groups: wide ? 1 : tile.groups, stages: tile.stages * perGroup * deeper, inFlight: tile.inFlight * deeper };
}

interface DecodeShape {
  readonly producer: boolean;
  /** Of queries. */
  readonly rows: number;
  readonly headDim: number;
  readonly pageBytes: number;
}

/** What the system keeps of an SM's shared memory for each block (CUDA C++ Programming Guide, "Compute Capabilities"). */
const reservedSharedBytes = 1024;

/** The tile that an architecture has room for: room for fewer blocks first, with as many stages for each SM, then fewer stages, then one group of warps. */
function fitDecodeTile(wanted: DecodeTile, shape: DecodeShape, architecture: Architecture): DecodeTile {
  const fits = (tile: DecodeTile): boolean => {
    const bytes = decodeSharedBytes(tile, shape);
    return bytes <= architecture.sharedBytesPerBlock && tile.residentBlocksPerSm * (bytes + reservedSharedBytes) <= architecture.sharedBytesPerSm;
  };
  if (fits(wanted)) return wanted;
  const { blocksPerSm, residentBlocksPerSm } = wanted;
  const most = Math.trunc((wanted.stages * residentBlocksPerSm) / blocksPerSm);
  // A group that copies for itself has one page less in flight than it has stages: with less depth, one group has more in flight than two.
  const fewest = wanted.groups > 1 && !shape.producer ? 3 : shape.producer ? 2 : 1;
  for (let stages = most; stages >= fewest; stages -= 1) {
    const tile = { ...wanted, stages, residentBlocksPerSm: blocksPerSm };
    if (fits(tile) && (!shape.producer || stages % tile.groups === 0)) return tile;
  }
  if (wanted.groups > 1) return fitDecodeTile({ ...wanted, groups: 1, stages: wanted.stages * (shape.producer ? 1 : wanted.groups) }, shape, architecture);
  throw new Error(`internal error: no decode tile of headDim ${shape.headDim} fits ${architecture.name}`);
}

/** Shared memory of a decode block (templates/include/moa/decode): pages, what is known of them, barriers, and the states of the warps. */
function decodeSharedBytes({ stages, groups }: DecodeTile, { producer, rows, headDim, pageBytes }: DecodeShape): number {
  const warps = groups * 4;
  const pageItemBytes = 64;
  const mergeBytes = warps * rows * (headDim + 4) * 4;
  const pipelineBytes = producer ? stages * (pageBytes + pageItemBytes) + Math.ceil((2 * stages * 8) / 16) * 16 : groups * stages * pageBytes + warps * stages * pageItemBytes;
  return pipelineBytes + mergeBytes;
}

function appendKernel(facts: Facts, { cacheType }: CacheLayout, rope: KernelRope): KernelNode {
  return {
    ...facts,
    role: 'append',
    name: ['moa_append', headsName(facts), ...(cacheType === 'e4m3' ? ['e4m3'] : []), ...ropeTraits(rope, facts)].join('_'),
    threads: 128,
    // Angles take many registers, which leave an SM too few threads to wait for memory if the compiler is not told.
    minBlocksPerSm: rope.rotaryDim > 0 ? 8 : 4,
    sharedBytes: 16,
    rope: rope.rotaryDim > 0,
    ...rope,
    cacheType,
  };
}

function expandKernel(facts: Facts): KernelNode {
  return { ...facts, role: 'expand', name: `moa_expand_${headsName(facts)}_e4m3`, threads: 256, minBlocksPerSm: 4, sharedBytes: 0 };
}
