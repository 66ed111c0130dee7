/**
 * The kernels that plan: they compute from lengths and length bounds, which lie on the device, what the other kernels work on. Integer arithmetic, the same for every
 * model, element type and architecture: what follows from a plan comes as tables (`ir/planTables.ts`).
 */
import { add, evaluate, variable, type Expression } from '../ir/affine.ts';
import { int32, placeFields, pointer, type ParamField, type ParamStruct } from '../ir/kernelParams.ts';
import type { PlannerRole } from '../ir/plannerRoles.ts';
import type { EnumName } from '../ir/structs.ts';
import { decodeSizes, mostParts, prefillScratchBytes } from './buffers.ts';
import { looping } from './grids.ts';
import { hostVariable } from './variables.ts';

export interface Planner {
  /** Of its entry. */
  readonly name: string;
  readonly threads: number;
  readonly minBlocksPerSm: number;
  readonly sharedBytes: number;
  readonly params: ParamStruct;
  /** Blocks of a launch. */
  readonly grid: Expression;
  /** Enumerations that it takes values of. */
  readonly enums: readonly EnumName[];
  /** Sizes of memory as its template computes them, and as packages say. */
  readonly sizes: readonly SizeCheck[];
}

/** The value of a C++ expression, which a `static_assert` compares. */
export interface SizeCheck {
  readonly cpp: string;
  readonly value: number;
}

const tables: readonly ParamField[] = [
  pointer('reserved', 'int*', '[slots] tokens that have their pages in all layers; those behind that need no other pages may be left out'),
  pointer('sharing', 'int*', '[slots] 1 where pages may have other holders'),
  pointer('bounds', 'int*', '[slots] length bounds; 0 without a sequence'),
  pointer('rings', 'moa::Ring*', '[classes][slots][kvHeads]'),
  pointer('pageTable', 'int*', 'page numbers, ring after ring; -1 where there is no page'),
  pointer('refs', 'int*', '[pages] holders'),
  pointer('freePages', 'int*', '[pages] free ones first'),
  pointer('freeCount', 'int*', 'free pages'),
  pointer('pagedLayers', 'const moa::PagedLayer*', '[layers]'),
  pointer('ticket', 'uint32_t*', 'counter of finished blocks, 0 between launches'),
  int32('layers', 'of the session'),
  int32('classes', 'sets of layers with equal windows and rings'),
  int32('slots', 'of the session'),
  int32('kvHeads', 'of the model'),
];

const changeFields: readonly ParamField[] = [
  ...tables,
  pointer('lengths', 'int*', '[layers][lengthStride] tokens of each slot; -1 without a sequence'),
  pointer('windows', 'int*', '[classes][slots][queryHeads] tokens'),
  pointer('ringPlaces', 'const int*', '[classes][kvHeads + 1] entries of a slot before those of each ring, and all of them'),
  pointer('planClasses', 'const int*', '[classes] the number of each among the classes of the plan'),
  pointer('spanRules', 'const moa::SpanRule*', 'rules of the plan'),
  pointer('spanSteps', 'const moa::SpanStep*', 'steps of expressions, one expression after the other'),
  pointer('spanBegins', 'const int*', '[expressions + 1] where the steps of each begin'),
  pointer('headSpans', 'const int*', '[classes of the plan][queryHeads] expressions'),
  pointer('ringSpans', 'const int*', '[classes of the plan][kvHeads] expressions'),
  pointer('spanSinks', 'const int*', '[classes of the plan] tokens at the start, which no window counts'),
  int32('minSpan', 'tokens'),
  int32('queryHeads', 'of the model'),
  int32('lengthStride', 'from the lengths of a layer to those of the next'),
  int32('operation', 'moa::SequenceOperation'),
  int32('slot', 'whose sequence changes; of a fork, the one that is there'),
  int32('other', 'of a fork: the free slot'),
  int32('value', 'length bound of a new sequence, length after a truncation, pages of a session'),
];

/** What is new in a step. */
const newTokens: readonly ParamField[] = [
  pointer('lengths', 'const int*', '[slots] of the layer that begins the step; -1 without a sequence'),
  pointer('cuSeqlens', 'const int*', '[slots + 1] first new token of each sequence; null: all have `tokens`'),
  pointer('counts', 'const int*', '[slots] new tokens of each sequence; null: all'),
  int32('tokens', 'new tokens of each sequence, without cuSeqlens'),
];

const stepFields: readonly ParamField[] = [
  ...tables,
  ...newTokens,
  pointer('pool', 'uint8_t*', '[pages] K page, V page'),
  pointer('error', 'int*', 'becomes 1 where too few pages are free'),
  pointer('sinks', 'const int*', '[sinkCount] the different sinks of layers'),
  int32('sinkCount', 'at least 1'),
  int32('pageBytes', 'a multiple of 4096'),
  int32('pageBlocks', 'blocks that take pages; those behind them plan decode, one for each class'),
  pointer('classSinks', 'const int*', '[classes] tokens'),
  pointer('segments', 'moa::PlannedSegment*', '[classes][segmentStride]'),
  pointer('scratch', 'int*', '[classes][scratchStride]'),
  pointer('known', 'int*', '[classes][2 * slots + 1] what the segments that lie there were planned for'),
  int32('segmentStride', 'segments of a class'),
  int32('scratchStride', 'words of a class'),
  int32('blocks', 'of a launch of decode'),
  int32('minPages', 'for each part of a sequence'),
  int32('segmentPages', 'that a ring costs besides its own'),
  int32('tiles', 'that the rows of queries of a KV head fill'),
  int32('tileRows', 'of a full one'),
  int32('most', 'sequences with more new tokens are left out'),
];

const planPrefillFields: readonly ParamField[] = [
  pointer('lengths', 'const int*', '[slots] of the layer that begins the step; -1 without a sequence'),
  pointer('cuSeqlens', 'const int*', '[slots + 1] first new token of each sequence'),
  pointer('windows', 'const int*', '[classes][slots][queryHeads] tokens'),
  pointer('rings', 'const moa::Ring*', '[classes][slots][kvHeads]'),
  pointer('classSinks', 'const int*', '[classes] tokens'),
  pointer('items', 'moa::PrefillItem*', '[classes][capacity]'),
  pointer('sizes', 'moa::PrefillPlanSize*', '[classes]'),
  pointer('scratch', 'uint8_t*', '[classes][scratchBytes]'),
  int32('scratchBytes', 'of a class'),
  int32('slots', 'of the session'),
  int32('queryHeads', 'of the model'),
  int32('kvHeads', 'of the model'),
  int32('fewest', 'sequences with fewer new tokens have no items'),
  int32('rows', 'query rows of an item'),
  int32('blocks', 'that run at once'),
  int32('sectionTokens', 'whose keys and values of one head are worked on together, at most'),
  int32('splitPages', 'items of more pages may be split'),
  int32('splitNumerator', 'and of more than this part of a share of their sequence'),
  int32('splitDenominator', 'at least 1'),
  int32('byCost', '0: items by the position of their rows alone, and none is split'),
  int32('capacity', 'items of a class'),
];

/** Formulas are of a low degree: where they agree in a few places they agree in all. */
const samples = [[1, 1, 1], [3, 8, 132], [64, 12, 264], [257, 31, 4095]] as const;

const decodeChecks = samples.flatMap(([slots, units, blocks]): SizeCheck[] => {
  const variables = { slots, units, blocks };
  const { scratchStride, segmentStride } = decodeSizes;
  return [
    { cpp: `Planning::scratchWords(${slots}, ${units})`, value: evaluate(scratchStride, variables) },
    { cpp: `Planning::mostSegments(${slots}, ${units}, ${blocks})`, value: evaluate(segmentStride, variables) },
  ];
});

const prefillChecks = samples.map(([slots, kvHeads, items]): SizeCheck => ({
  cpp: `moa::PrefillPlanScratch::bytes(${slots}, ${kvHeads}, ${4 * kvHeads}, ${items})`,
  value: evaluate(prefillScratchBytes, { slots, kvHeads, items }),
}));

export const planners: Readonly<Record<PlannerRole, Planner>> = {
  changeSequence: {
    name: 'moa_change_sequence',
    threads: 256,
    minBlocksPerSm: 2,
    sharedBytes: 16,
    params: placeFields(changeFields),
    grid: looping(2),
    enums: ['SequenceOperation', 'SpanOp'],
    sizes: [],
  },
  step: {
    name: 'moa_step',
    threads: 256,
    minBlocksPerSm: 2,
    sharedBytes: 11 * 1024 * 4,
    params: placeFields(stepFields),
    grid: add(variable('pageBlocks'), hostVariable('decodeClasses')),
    enums: [],
    sizes: [{ cpp: 'moa::PlannedSegment::kMostPieces', value: mostParts }, ...decodeChecks],
  },
  planPrefill: {
    name: 'moa_plan_prefill',
    threads: 512,
    minBlocksPerSm: 1,
    sharedBytes: 48 * 1024,
    params: placeFields(planPrefillFields),
    grid: hostVariable('classes'),
    enums: [],
    sizes: prefillChecks,
  },
};

/** The rows with their roles. */
export const plannerEntries = Object.entries(planners) as readonly (readonly [PlannerRole, Planner])[];
