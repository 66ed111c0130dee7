/** What the variants of prefill have in common. */
import { float32, int32, pointer, type ParamField } from '../ir/kernelParams.ts';
import { structs } from '../ir/structs.ts';
import { headsName, scoreTraits } from './names.ts';
import type { KernelRequest } from './variant.ts';

/** Bytes of a work item. */
export const itemBytes = structs.PrefillItem.bytes;

/** What prefill takes besides queries, keys and values. */
export const prefillFields: readonly ParamField[] = [
  pointer('out', 'uint16_t*', '[tokens][queryHeads][headDim]'),
  pointer('lse', 'float*', '[tokens][queryHeads] natural log, or null'),
  pointer('items', 'const moa::PrefillItem*', 'in the order in which they are taken'),
  pointer('itemCount', 'const int*', 'how many they are'),
  pointer('pool', 'const uint16_t*', '[pages] K page, V page; read for sequences that held tokens before'),
  pointer('pageTable', 'const int*', 'page numbers, ring after ring'),
  float32('scale', 'multiplies q.k'),
  int32('groupSize', 'query heads of a KV head; used by kernels that are not specialised, as are the next two'),
  int32('queryHeads', 'of the model'),
  int32('sink', 'tokens'),
];

/** @param tile what was chosen, in words: `m128_s3` */
export function prefillName({ base, specialised, scores }: KernelRequest, tile: string): string {
  const words = [tile, ...(specialised ? [] : ['any']), ...scoreTraits(scores)];
  return ['moa_prefill', headsName(base), ...words].join('_');
}
