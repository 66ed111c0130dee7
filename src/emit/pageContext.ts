/** What the templates of the kernels that change page tables may name: `sequences` and `takePages`. */
import { fieldLayout, type ParamField, type ParamStruct } from '../ir/kernelParams.ts';
import { layerClasses } from '../ir/layerClasses.ts';
import { sequencesFields, takePagesFields } from '../ir/pageParams.ts';
import type { PlanDefinition } from '../ir/planDefinition.ts';
import { spanContext, type SpanContext, type SpanPlan } from './spanContext.ts';

interface SharedContext {
  readonly name: string;
  readonly threads: number;
  readonly minBlocksPerSm: number;
  readonly sharedBytes: number;
  /** Declarations are padded to one width, so that comments line up. */
  readonly params: readonly {
    readonly declaration: string;
    readonly name: string;
    readonly offset: number;
    readonly comment: string;
  }[];
  readonly paramsBytes: number;
}

export interface SequencesContext extends SharedContext, SpanContext {}

export interface TakePagesContext extends SharedContext {
  readonly kvHeads: number;
  readonly pageBytes: number;
  /** The different sinks of layers. */
  readonly sinks: readonly { readonly tokens: number }[];
}

/** Of both kernels. They wait for memory, so two blocks share a multiprocessor where a launch has as many. */
const threads = 256;
const minBlocksPerSm = 2;

export const sequencesStruct: ParamStruct = placeFields(sequencesFields);
export const takePagesStruct: ParamStruct = placeFields(takePagesFields);

export function sequencesContext(plan: SpanPlan): SequencesContext {
  return { ...sharedContext('sequences', 16, sequencesStruct), ...spanContext(plan) };
}

export function takePagesContext(plan: Pick<PlanDefinition, 'shape' | 'layout' | 'layers'>): TakePagesContext {
  const sinks = [...new Set(layerClasses(plan).definitions.map(({ sink }) => sink))].sort((a, b) => a - b);
  return {
    ...sharedContext('takePages', threads * 16 + (threads / 32) * 8, takePagesStruct),
    kvHeads: plan.shape.kvHeads,
    pageBytes: plan.layout.pageBytes,
    sinks: sinks.map((tokens) => ({ tokens })),
  };
}

function sharedContext(name: string, sharedBytes: number, { fields, bytes }: ParamStruct): SharedContext {
  const declarations = fields.map(({ cType, name: field }) => `${cType} ${field};`);
  const width = Math.max(...declarations.map((declaration) => declaration.length));
  const params = fields.map(({ name: field, offset, comment }, index) => {
    return { declaration: declarations[index]!.padEnd(width), name: field, offset, comment };
  });
  return { name, threads, minBlocksPerSm, sharedBytes, params, paramsBytes: bytes };
}

/** As `kernelParams.ts` places them. */
function placeFields(declared: readonly ParamField[]): ParamStruct {
  let offset = 0;
  const fields = declared.map((field) => {
    const { size, alignment } = fieldLayout(field.type);
    const placed = { ...field, offset: Math.ceil(offset / alignment) * alignment };
    offset = placed.offset + size;
    return placed;
  });
  return { fields, bytes: Math.ceil(offset / 8) * 8 };
}
