/**
 * The buffers that a host allocates for a session: their elements, their shapes as expressions, and what they hold
 * before the first launch. Packages carry them, and the runtime evaluates what the package says.
 */
import {
  add,
  ceilDivide,
  constant,
  min,
  multiply,
  product,
  roundUp,
  variable,
  type Expression,
} from '../ir/affine.ts';
import type { AttentionFacts, CacheLayout, ModelShape } from '../ir/nodes.ts';
import type {
  BufferDefinition,
  BufferElement,
  BufferSet,
  BufferSets,
  InitialContent,
  PlanTables,
} from '../ir/planDefinition.ts';
import { decodeTileRows } from './decodeRows.ts';
import { hostVariable } from './variables.ts';

/** What buffers depend on. */
export interface BufferFacts {
  readonly shape: ModelShape;
  readonly attention: AttentionFacts;
  readonly layout: CacheLayout;
  readonly tables: PlanTables;
}

const [slots, layers, classes] = [hostVariable('slots'), hostVariable('layers'), hostVariable('classes')];
const [queryHeads, kvHeads] = [hostVariable('queryHeads'), hostVariable('kvHeads')];
const [entries, pages, slotPages] = [hostVariable('entries'), hostVariable('pages'), hostVariable('slotPages')];
const slotEnds = add(slots, constant(1));

const none: InitialContent = { kind: 'none' };
const host: InitialContent = { kind: 'host' };
const zeros: InitialContent = { kind: 'bytes', value: 0 };
/** Integers of -1. */
const ones: InitialContent = { kind: 'bytes', value: 255 };
const range = (first: Expression, step: number): InitialContent => ({ kind: 'range', first, step });

const buffer = (
  element: BufferElement,
  shape: readonly Expression[],
  initial: InitialContent,
  comment: string,
): BufferDefinition => ({ element, shape, initial, comment });

export function bufferSets(facts: BufferFacts): BufferSets {
  return { session: sessionBuffers(facts), decode: decodeBuffers(facts), prefill: prefillBuffers(facts) };
}

type TableName = Exclude<keyof PlanTables, 'layerClass'>;

/**
 * Words between the lengths of two layers: whole sectors of 32 bytes, so that no layer's launch writes where the next
 * one's reads.
 */
const lengthStride = roundUp(slots, 8);

function sessionBuffers({ attention, layout, tables }: BufferFacts): BufferSet {
  const { pageBytes, cacheType } = layout;
  const tableOf = (
    element: BufferElement,
    name: TableName,
    comment: string,
    ...heads: Expression[]
  ): BufferDefinition => buffer(element, [constant(tables[name].length), ...heads], { kind: 'table', name }, comment);
  return {
    sizes: { lengthStride, pageBlocks: hostVariable('multiprocessors') },
    buffers: {
      pool: buffer('uint8', [pages, constant(pageBytes)], none, 'keys and values'),
      pageTable: buffer(
        'int32',
        [entries],
        ones,
        'the number in the pool of each page of a ring; -1 where there is none',
      ),
      lengths: buffer('int32', [layers, variable('lengthStride')], ones, 'tokens of each slot; -1 without a sequence'),
      reserved: buffer('int32', [slots], zeros, 'tokens that have their pages in all layers; those behind that need no other pages may be left out'),
      sharing: buffer('int32', [slots], zeros, '1 where pages may have other holders'),
      bounds: buffer('int32', [slots], zeros, 'length bounds; 0 without a sequence'),
      windows: buffer('int32', [classes, slots, queryHeads], zeros, 'tokens behind the sink that a head attends'),
      rings: buffer(
        'Ring',
        [classes, slots, kvHeads],
        none,
        'their places in the page table; windows come with sequences',
      ),
      ringPlaces: buffer(
        'int32',
        [classes, add(kvHeads, constant(1))],
        host,
        'entries of a slot before those of each ring, and all of them',
      ),
      refs: buffer('int32', [pages], zeros, 'holders of each page'),
      freePages: buffer('int32', [pages], none, 'the stack of free pages'),
      freeCount: buffer('int32', [constant(1)], none, 'how many they are'),
      error: buffer('int32', [constant(1)], zeros, 'becomes 1 where too few pages are free'),
      pagedLayers: buffer('PagedLayer', [layers], host, 'where the rings of each layer are described'),
      planClasses: buffer('int32', [classes], host, 'the number of each class among those of the package'),
      classSinks: buffer('int32', [classes], host, 'the sink of each class, in tokens'),
      sinks: buffer('int32', [hostVariable('sinkCount')], host, 'the different ones'),
      spanRules: tableOf('SpanRule', 'rules', 'rules of the plan'),
      spanSteps: tableOf('SpanStep', 'steps', 'steps of expressions, one expression after the other'),
      spanBegins: tableOf('int32', 'begins', 'where the steps of each expression begin'),
      headSpans: tableOf(
        'int32',
        'headSpans',
        'of each class of the package, the expression of each query head',
        queryHeads,
      ),
      ringSpans: tableOf('int32', 'ringSpans', 'of each class of the package, the expression of each KV head', kvHeads),
      spanSinks: tableOf('int32', 'sinks', 'of each class of the package, tokens at the start'),
      cuSeqlens: buffer('int32', [slotEnds], none, 'where the new tokens of each slot begin, and the end of the last'),
      counts: buffer('int32', [slots], none, 'how many rows of each slot are tokens'),
      tokenEnds: buffer(
        'int32',
        [hostVariable('decodeTokens'), slotEnds],
        host,
        'cuSeqlens of 1, 2 and more tokens of each slot',
      ),
      rope: buffer('float32', ropeShape, host, 'the table of one rotation'),
      ...(cacheType === 'e4m3'
        ? {
            kvScales: buffer(
              'float32',
              [layers, constant(2), kvHeads],
              range(constant(1), 0),
              'scales of keys, and of values',
            ),
          }
        : {}),
      ...(attention.learnedSinks
        ? { sinkLogits: buffer('float32', [layers, queryHeads], host, 'logits of learned sinks') }
        : {}),
    },
  };
}

/** Frequencies, then cos and sin of the positions of a block, then those of the first position of each block. */
const ropeShape = [
  add(constant(1), multiply(add(hostVariable('ropeBlock'), hostVariable('ropeBlocks')), 2)),
  hostVariable('rotaryPairs'),
] as const;

/** The most parts of a sequence (`moa::PlannedSegment::kMostPieces`). */
export const mostParts = 1023;
/** Numbers of a slot in scratch memory (`moa::DecodePlan`). */
export const slotWords = 6;

/** Of the plan of decode: rings, or tiles of their rows of queries, are units. */
export const decodeSizes = {
  segmentStride: add(variable('blocks'), product(slots, variable('units'))),
  scratchStride: product(slots, add(constant(slotWords), variable('units'))),
} as const;

function decodeBuffers({ shape }: BufferFacts): BufferSet {
  const tileRows = decodeTileRows(shape.headDim);
  const rows = multiply(hostVariable('decodeTokens'), shape.queryHeads / shape.kvHeads);
  const partials = add(min(variable('blocks'), constant(mostParts)), variable('units'));
  return {
    sizes: {
      tileRows: min(rows, constant(tileRows)),
      tiles: ceilDivide(rows, tileRows),
      units: product(kvHeads, variable('tiles')),
      blocks: product(hostVariable('multiprocessors'), hostVariable('blocksPerSm')),
      ...decodeSizes,
      partialCount: product(slots, partials),
    },
    buffers: {
      segments: buffer('PlannedSegment', [classes, variable('segmentStride')], none, 'what blocks of decode read'),
      scratch: buffer('int32', [classes, variable('scratchStride')], none, "the planner's own"),
      known: buffer(
        'int32',
        [classes, add(multiply(slots, 2), constant(1))],
        ones,
        'what the segments were planned for',
      ),
      partials: buffer('float32', [variable('partialCount'), hostVariable('partialFloats')], none, 'partial results'),
      tickets: buffer(
        'uint32',
        [add(constant(1), product(slots, variable('units')))],
        zeros,
        'counters, 0 between launches',
      ),
    },
  };
}

/** Bytes of `moa::PrefillPlanScratch` for one class. */
export const prefillScratchBytes = roundUp(
  add(
    add(multiply(slots, 40), multiply(product(slots, kvHeads), 48)),
    add(multiply(hostVariable('items'), 24), constant(12)),
  ),
  16,
);

function prefillBuffers({ layout: { cacheType, pageBytes } }: BufferFacts): BufferSet {
  const parts = hostVariable('parts');
  const items = hostVariable('items');
  const warps = ceilDivide(hostVariable('threads'), 32);
  return {
    sizes: { scratchBytes: prefillScratchBytes },
    buffers: {
      items: buffer('PrefillItem', [classes, items], none, 'what blocks of prefill work on'),
      sizes: buffer('PrefillPlanSize', [classes], none, 'how many they are'),
      scratch: buffer('uint8', [classes, variable('scratchBytes')], none, "the planner's own"),
      partials: buffer('float32', [parts, hostVariable('partialFloats')], none, 'results of items that are one of two'),
      partTickets: buffer('uint32', [ceilDivide(parts, 2), warps], zeros, 'counters, 0 between launches'),
      ...(cacheType === 'e4m3'
        ? {
            expandedPool: buffer(
              'uint8',
              [slots, slotPages, constant(2 * pageBytes)],
              none,
              'pages of 16-bit elements, of one layer',
            ),
            expandedTable: buffer(
              'int32',
              [slots, slotPages],
              range(constant(0), 1),
              'its page table: entry n is page n',
            ),
          }
        : {}),
    },
  };
}
