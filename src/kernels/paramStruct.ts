import { int32, placeFields, pointer, type ParamField, type ParamStruct } from '../ir/kernelParams.ts';
import type { KernelName } from '../ir/nodes.ts';
import { variantOf } from './variants.ts';

/** What of a kernel its parameters depend on: its row, and options that add fields. */
export interface ParamsOf extends KernelName {
  /** Prefill and decode; false by default. */
  readonly learnedSinks?: boolean;
  /** Decode: whether it appends the new token of each sequence; true by default. */
  readonly appends?: boolean;
}

const sinkFields: readonly ParamField[] = [
  pointer('sinkLogits', 'const float*', '[queryHeads] logits that count in denominators, of this layer'),
];

const tokenFields: readonly ParamField[] = [
  pointer('counts', 'const int*', '[slots] new tokens of each sequence, whose other rows attend nothing; null: all'),
  int32('tokens', 'new tokens of each sequence at most: q and out are [slots][tokens][queryHeads][headDim]'),
];

const structs = new Map<string, ParamStruct>();

/** The parameter struct of a kernel. Kernels with equal ones have the same name for it (`paramsName`). */
export function paramStruct(kernel: ParamsOf): ParamStruct {
  const { learnedSinks = false, appends = true } = kernel;
  const name = paramsName(kernel);
  let struct = structs.get(name);
  if (struct === undefined) {
    const { fields } = variantOf(kernel).params;
    const options = [...(learnedSinks ? sinkFields : []), ...(appends ? [] : tokenFields)];
    structs.set(name, (struct = placeFields([...fields, ...options])));
  }
  return struct;
}

/** Its name in a package's `params`. */
export function paramsName(kernel: ParamsOf): string {
  const { learnedSinks = false, appends = true } = kernel;
  const options = [...(learnedSinks ? ['sinks'] : []), ...(appends ? [] : ['tokens'])];
  return [variantOf(kernel).params.name, ...options].join('-');
}
