/** Parameters of the kernels that change page tables, as `kernelParams.ts` lists those of the others. */
import type { ParamField } from './kernelParams.ts';

const pointer = (name: string, cType: string, comment: string): ParamField =>
  ({ name, type: 'pointer', cType, comment });
const int32 = (name: string, comment: string): ParamField => ({ name, type: 'int32', cType: 'int', comment });

/** One change of a sequence: templates/include/moa/plan/sequences.cuh. */
export const sequencesFields: readonly ParamField[] = [
  pointer('lengths', 'int*', '[layers][lengthStride] tokens of each slot; -1 without a sequence'),
  pointer('bounds', 'int*', '[slots] length bounds; 0 without a sequence'),
  pointer('reserved', 'int*', '[slots] tokens that have their pages in all layers'),
  pointer('sharing', 'int*', '[slots] 1 where pages may have other holders'),
  pointer('windows', 'int*', '[classes][slots][queryHeads] tokens'),
  pointer('rings', 'moa::Ring*', '[classes][slots][kvHeads]; their places in the page table stay'),
  pointer('pageTable', 'int*', 'page numbers, ring after ring; -1 where there is no page'),
  pointer('refs', 'int*', '[pages] holders'),
  pointer('freePages', 'int*', '[pages] free ones first'),
  pointer('freeCount', 'int*', 'free pages'),
  pointer('pagedLayers', 'const moa::PagedLayer*', '[layers]'),
  pointer('planClasses', 'const int*', '[classes] the number of each among the classes of the plan'),
  pointer('ticket', 'uint32_t*', 'counter of finished blocks, 0 between launches'),
  int32('lengthStride', 'from the lengths of a layer to those of the next'),
  int32('layers', 'of the session'),
  int32('classes', 'sets of layers with equal windows and rings'),
  int32('slots', 'of the session'),
  int32('operation', 'moa::SequenceOperation'),
  int32('slot', 'whose sequence changes; of a fork, the one that is there'),
  int32('other', 'of a fork: the free slot'),
  int32('value', 'length bound of a new sequence, length after a truncation'),
];

/** The pages of a step: templates/include/moa/plan/pages.cuh. */
export const takePagesFields: readonly ParamField[] = [
  pointer('lengths', 'const int*', '[slots] of the layer that begins the step; -1 without a sequence'),
  pointer('cuSeqlens', 'const int*', '[slots + 1] first new token of each sequence; null: all have `tokens`'),
  pointer('counts', 'const int*', '[slots] new tokens of each sequence at most; null: all count'),
  pointer('reserved', 'int*', '[slots] tokens that have their pages in all layers; advanced at the end'),
  pointer('sharing', 'const int*', '[slots] 1 where pages may have other holders'),
  pointer('rings', 'const moa::Ring*', '[classes][slots][kvHeads]'),
  pointer('pageTable', 'int*', 'page numbers, ring after ring; -1 where there is no page'),
  pointer('refs', 'int*', '[pages] holders'),
  pointer('freePages', 'const int*', '[pages] free ones first'),
  pointer('freeCount', 'int*', 'free pages'),
  pointer('pagedLayers', 'const moa::PagedLayer*', '[layers]'),
  pointer('pool', 'uint8_t*', '[pages] K page, V page'),
  pointer('error', 'int*', 'becomes 1 where too few pages are free'),
  pointer('ticket', 'uint32_t*', 'counter of finished blocks, 0 between launches'),
  int32('tokens', 'new tokens of each sequence, without cuSeqlens'),
  int32('layers', 'of the session'),
  int32('slots', 'of the session'),
];
