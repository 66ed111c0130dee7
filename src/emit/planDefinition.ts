import { packagedCodes, served } from '../arch/serves.ts';
import { sinkOf, type Expression } from '../ir/affine.ts';
import { isUsual } from '../ir/attention.ts';
import type { KernelNode, LaidOutLayer, PlanFacts, ScheduledModule } from '../ir/nodes.ts';
import type { ParamStruct } from '../ir/kernelParams.ts';
import type { PlannerRole } from '../ir/plannerRoles.ts';
import { enums, structs, type EnumName } from '../ir/structs.ts';
import { planTables } from '../ir/planTables.ts';
import type { Rule } from '../ir/rule.ts';
import { bufferSets } from '../kernels/buffers.ts';
import { paramsName, paramStruct } from '../kernels/paramStruct.ts';
import { plannerEntries, type Planner } from '../kernels/planners.ts';
import { variantOf } from '../kernels/variants.ts';
import type { MaskFamily } from '../mask/mask.ts';
import {
  definitionFormat,
  type KernelDefinition,
  type LayerDefinition,
  type ParamsDefinition,
  type PlanDefinition,
  type PlannerDefinition,
  type RankDefinition,
  type StructDefinition,
} from '../ir/planDefinition.ts';
import { kernelContext, plannerContext } from './kernelContext.ts';
import { sha256 } from './package.ts';
import { renderKernel, renderPlanner } from './templateEngine.ts';

/**
 * The runtime's view of a compiled module. `cubins` maps architectures to paths in the package.
 * @param rank where the module has a part of the model's heads
 * @param ptx where PTX lies, and of which architectures
 */
export function planDefinition(
  module: ScheduledModule,
  mask: MaskFamily,
  cubins: Readonly<Record<string, string>>,
  rank?: RankDefinition,
  ptx?: PlanDefinition['ptx'],
): PlanDefinition {
  const kernels = module.kernels.map((kernel) => kernelDefinition(kernel, mask));
  const rules = new Interner<Rule>();
  const expressions = new Interner<Expression>();
  // Without kernels that rotate a session is given q and k that are rotated, whatever the model's RoPE is.
  const rope = module.kernels.some((kernel) => 'rope' in kernel && kernel.rope) ? module.rope : null;
  const layers = module.layers.map((layer, index) => ({
    ...layerDefinition(layer, module, rules, expressions),
    ...(rope === null ? {} : { rope: rope.layers[index]! }),
  }));
  const { shape, limits } = module;
  const tables = planTables({ shape, limits, rules: rules.values, expressions: expressions.values, layers });
  return {
    format: definitionFormat,
    shape: module.shape,
    ...(isUsual(module.attention, module.shape) ? {} : { attention: module.attention }),
    limits: module.limits,
    mask: mask(0).name,
    layout: module.layout,
    ...(rope === null ? {} : { ropes: rope.ropes }),
    rules: rules.values,
    expressions: expressions.values,
    layers,
    kernels,
    planners: Object.fromEntries(
      plannerEntries.map(([role, planner]) => {
        const source = renderPlanner(role, plannerContext(planner, module, mask));
        return [role, plannerDefinition(role, planner, source)];
      }),
    ) as PlanDefinition['planners'],
    tables,
    params: Object.fromEntries([
      ...module.kernels.map((kernel) => [paramsName(kernel), paramsDefinition(paramStruct(kernel))] as const),
      ...plannerEntries.map(([role, { params }]) => [role, paramsDefinition(params)] as const),
    ]),
    structs: structDefinitions,
    enums: enumDefinitions,
    buffers: bufferSets({ ...module, tables }),
    prefill: module.prefill,
    decode: module.decode,
    cubins,
    ...(ptx === undefined ? {} : { ptx }),
    serves: servedBy(kernels, Object.keys(cubins), ptx?.architectures ?? []),
    ...(rank === undefined ? {} : { tensorParallel: rank }),
  };
}

function servedBy(kernels: readonly KernelDefinition[], cubins: readonly string[], ptx: readonly string[]): readonly string[] {
  const names = cubins.length > 0 ? cubins : [...new Set(kernels.flatMap(({ architectures }) => architectures))];
  return served(packagedCodes(kernels, names, ptx));
}

/** The path of a kernel's source in its package. */
export const kernelSourcePath = (name: string): string => `kernels/${name}.cu`;

function plannerDefinition(role: PlannerRole, planner: Planner, source: string): PlannerDefinition {
  const { name, threads, sharedBytes, grid } = planner;
  return { name, threads, sharedBytes, grid, params: role, source: kernelSourcePath(name), sha256: sha256(source) };
}

function paramsDefinition({ bytes, fields }: ParamStruct): ParamsDefinition {
  return {
    bytes,
    fields: fields.map(({ name, type, of, offset, comment }) => {
      const pointee = of === undefined ? {} : { of };
      return { name, type, ...pointee, offset, comment };
    }),
  };
}

const structDefinitions = Object.fromEntries<StructDefinition>(
  Object.values(structs).map(({ name, bytes, fields }) => [
    name,
    { bytes, fields: fields.map(({ name: field, type, offset, comment }) => ({ name: field, type, offset, comment })) },
  ]),
) as PlanDefinition['structs'];

const enumDefinitions = Object.fromEntries(
  Object.entries(enums).map(([name, values]) => {
    const numbers = values.map((value, index) => [value, index] as const);
    return [name as EnumName, Object.fromEntries(numbers)];
  }),
) as PlanDefinition['enums'];

function layerDefinition(
  layer: LaidOutLayer,
  { shape, limits }: PlanFacts,
  rules: Interner<Rule>,
  expressions: Interner<Expression>,
): LayerDefinition {
  const { modelWindow } = layer;
  const heads = new Array<number>(shape.queryHeads);
  for (const group of layer.headGroups) {
    for (const head of group.heads) heads[head] = rules.index(group.rule);
  }
  const rings = layer.ringGroups.map(({ group, span, pages }) => ({
    kvHeads: group.kvHeads,
    rules: group.rules.map((rule) => rules.index(rule)),
    span: expressions.index(span),
    pages: expressions.index(pages),
  }));
  return { modelWindow, sink: sinkOf(limits, modelWindow), heads, rings };
}

function kernelDefinition(kernel: KernelNode, mask: MaskFamily): KernelDefinition {
  const { name, role, variant, elementType, threads, sharedBytes, architectures, layers } = kernel;
  const { blocksPerSm, partialFloats, grid } = variantOf(kernel);
  return {
    name,
    role,
    variant,
    elementType,
    threads,
    sharedBytes,
    rope: 'rope' in kernel && kernel.rope,
    ...('rope' in kernel && kernel.rope ? { rotaryDim: kernel.rotaryDim, pairing: kernel.pairing } : {}),
    partialFloats: partialFloats(kernel),
    blocksPerSm: blocksPerSm(kernel),
    rows: 'rows' in kernel ? kernel.rows : 0,
    ...(kernel.role === 'decode' && !kernel.appends ? { tokens: kernel.tokens } : {}),
    ...('learnedSinks' in kernel && kernel.learnedSinks ? { learnedSinks: true } : {}),
    architectures,
    layers,
    grid: grid(kernel),
    params: paramsName(kernel),
    source: kernelSourcePath(name),
    sha256: sha256(renderKernel(kernel, kernelContext(kernel, mask))),
  };
}

/** Numbers values by their text, in the order of first use. */
class Interner<Value> {
  readonly values: Value[] = [];
  readonly #indices = new Map<string, number>();

  index(value: Value): number {
    const text = JSON.stringify(value);
    const known = this.#indices.get(text);
    if (known !== undefined) return known;
    this.#indices.set(text, this.values.length);
    this.values.push(value);
    return this.values.length - 1;
  }
}
