import { usualAttention } from '../ir/attention.ts';
import { ranges } from '../ir/print.ts';
import type { AttentionFacts, ElementType, ModelShape } from '../ir/nodes.ts';
import type { ModelRope } from '../ir/rope.ts';
import type { DiagnosticList } from '../util/diagnostics.ts';
import { addDiagnostic } from './addDiagnostic.ts';
import { ASSUME_PLAIN_FLAG } from './config/assumePlain.ts';
import { LEARNED_SINKS_FLAG } from './config/noteTypes.ts';
import type { ModelConfig } from './parseModelConfig.ts';
import { MAX_HEADS, MAX_HEAD_DIM, MAX_LAYERS, SOFT_CAPS, type DescribedModel, type ParsedPlan, type Place } from './planSchema.ts';

/** What the command line says of the model. */
export interface ModelFlags {
  readonly layers?: number | undefined;
  readonly queryHeads?: number | undefined;
  readonly kvHeads?: number | undefined;
  readonly headDim?: number | undefined;
  readonly elementType?: ElementType | undefined;
  /** 0: none. */
  readonly softCap?: number | undefined;
  readonly learnedSinks?: boolean | undefined;
  /** Take a model type and keys of a config that are not known as those of plain attention. */
  readonly assumePlain?: boolean | undefined;
  /** Whether kernels rotate as the model does; true by default. */
  readonly rope?: boolean | undefined;
}

/** The options that `ModelFlags` come from, for messages and for the command line itself. */
export const MODEL_FLAG_NAMES = {
  layers: '--layers',
  queryHeads: '--query-heads',
  kvHeads: '--kv-heads',
  headDim: '--head-dim',
  elementType: '--dtype',
  softCap: '--softcap',
  learnedSinks: LEARNED_SINKS_FLAG,
  assumePlain: ASSUME_PLAIN_FLAG,
} as const satisfies Record<Exclude<keyof ModelFlags, 'rope'>, string>;

export interface ResolvedModel {
  readonly shape: ModelShape;
  readonly attention: AttentionFacts;
  /** Undefined when nothing says it. */
  readonly elementType?: ElementType;
  readonly name?: string;
  /** What the layers of the model without attention are, by their numbers; absent where all have it. */
  readonly leftOut?: ReadonlyMap<number, string>;
  /** Undefined when nothing says it. */
  readonly rope?: ModelRope;
}

/** Elements of a head that there are kernels for. */
export const HEAD_DIMS: readonly number[] = [64, 128, 256];
/** The most query heads that may share a KV head. */
export const MAX_GROUP_SIZE = 16;
const DEFAULT_HEAD_DIM = 128;

const FLAG_MAXIMA = { layers: MAX_LAYERS, queryHeads: MAX_HEADS, kvHeads: MAX_HEADS, headDim: MAX_HEAD_DIM } as const;

/** What models are described by: what flags say, and the scale, which has none since a session may give it. */
type Facts = Omit<ModelFlags, 'assumePlain' | 'rope'> & { readonly scale?: number | undefined };
type Field = keyof Facts;
type FieldValue<F extends Field> = NonNullable<Facts[F]>;

/** A value and where it is written; flags and defaults are written nowhere. */
interface Sourced<T> {
  readonly value: T;
  readonly place?: Place | undefined;
}

/**
 * The shape of the model that `plan` is for: from flags, else from `config`, else from the plan's `model`, else assumed with a warning
 * (headDim 128, kvHeads = queryHeads). Layers and query heads have to be those of the plan's matrices; config and plan have to agree
 * wherever no flag decides. Undefined when an error was reported.
 */
export function resolveModelShape(
  plan: ParsedPlan,
  config: ModelConfig | undefined,
  flags: ModelFlags,
  diagnostics: DiagnosticList,
): ResolvedModel | undefined {
  const before = diagnostics.errorCount;
  checkFlags(flags, diagnostics);

  const layers = { value: plan.layers, place: plan.alphasPlace };
  const queryHeads = { value: plan.queryHeads, place: plan.alphasPlace };
  checkAgainstPlan('layers', layers, config, flags, diagnostics);
  checkAgainstPlan('queryHeads', queryHeads, config, flags, diagnostics);

  const ownKvHeads = plan.kvHeads === undefined ? undefined : { value: plan.kvHeads, place: plan.alphasPlace };
  if (ownKvHeads !== undefined) checkAgainstPlan('kvHeads', ownKvHeads, config, flags, diagnostics);

  const givenKvHeads = ownKvHeads ?? choose('kvHeads', plan, config, flags, diagnostics);
  const givenHeadDim = choose('headDim', plan, config, flags, diagnostics);
  const elementType = choose('elementType', plan, config, flags, diagnostics);
  const softCap = choose('softCap', plan, config, flags, diagnostics);
  const learnedSinks = choose('learnedSinks', plan, config, flags, diagnostics);
  const scale = choose('scale', plan, config, flags, diagnostics);
  noteDefaults(plan, givenKvHeads, givenHeadDim, diagnostics);
  const kvHeads = givenKvHeads ?? queryHeads;
  const headDim = givenHeadDim ?? { value: DEFAULT_HEAD_DIM };

  if (diagnostics.errorCount > before) return undefined;
  checkSupport(queryHeads, kvHeads, headDim, diagnostics);
  if (diagnostics.errorCount > before) return undefined;

  const name = config?.name ?? plan.model?.name;
  const rope = config?.rope ?? plan.model?.rope;
  const layerNumbers = config?.shape.layerNumbers ?? plan.model?.shape.layerNumbers;
  const usual = usualAttention({ headDim: headDim.value });
  return {
    shape: { layers: plan.layers, queryHeads: plan.queryHeads, kvHeads: kvHeads.value, headDim: headDim.value, ...(layerNumbers === undefined ? {} : { layerNumbers }) },
    attention: {
      softCap: softCap?.value ?? usual.softCap,
      learnedSinks: learnedSinks?.value ?? usual.learnedSinks,
      scale: scale?.value ?? usual.scale,
    },
    ...(elementType === undefined ? {} : { elementType: elementType.value }),
    ...(name === undefined ? {} : { name }),
    ...(rope === undefined ? {} : { rope }),
    ...(config?.leftOut === undefined ? {} : { leftOut: config.leftOut }),
  };
}

/** Reports flags that are no counts (MOA1106). */
export function checkFlags(flags: ModelFlags, diagnostics: DiagnosticList): void {
  for (const field of ['layers', 'queryHeads', 'kvHeads', 'headDim'] as const) {
    const value = flags[field];
    const max = FLAG_MAXIMA[field];
    if (value === undefined || (Number.isInteger(value) && value >= 1 && value <= max)) continue;
    addDiagnostic(diagnostics, 'error', 'MOA1106', undefined, `${MODEL_FLAG_NAMES[field]} ${value} is not an integer from 1 to ${max}`);
  }
  const { softCap = 0 } = flags;
  if (softCap === 0 || (softCap >= SOFT_CAPS.min && softCap <= SOFT_CAPS.max)) return;
  addDiagnostic(diagnostics, 'error', 'MOA1106', undefined, `${MODEL_FLAG_NAMES.softCap} ${softCap} is not from ${SOFT_CAPS.min} to ${SOFT_CAPS.max}, or 0`);
}

const COUNTED = { layers: 'layers', queryHeads: 'query heads', kvHeads: 'KV heads' } as const;

/** What the plan counts is a fact: whatever else states it has to agree (MOA1201). */
function checkAgainstPlan(
  field: keyof typeof COUNTED,
  fact: Sourced<number>,
  config: ModelConfig | undefined,
  flags: ModelFlags,
  diagnostics: DiagnosticList,
): void {
  const what = COUNTED[field];
  const flag = flags[field];
  if (flag !== undefined && flag !== fact.value) {
    const message = `the plan has ${fact.value} ${what}, ${MODEL_FLAG_NAMES[field]} says ${flag}`;
    addDiagnostic(diagnostics, 'error', 'MOA1201', fact.place, message, 'use the plan that was made for this model');
  }
  const stated = statedBy(config, field);
  if (stated === undefined || stated.value === fact.value) return;
  const attending = field === 'layers' && config?.shape.layerNumbers;
  const which = attending ? ` with attention, ${ranges(attending)}` : '';
  const message = `the plan has ${fact.value} ${what}, the model config has ${stated.value}${which}`;
  const help = attending ? 'a plan has a row for each layer with attention, in this order, and none for the others' : 'use the plan that was made for this model';
  addDiagnostic(diagnostics, 'error', 'MOA1201', fact.place, message, help, {
    says: `${stated.value} ${what}`,
    place: stated.place,
  });
}

/** The value of `field` by precedence. A flag that overrides warns (MOA1203); without one, config and plan have to agree (MOA1202). */
function choose<F extends 'kvHeads' | 'headDim' | 'elementType' | keyof AttentionFacts>(
  field: F,
  plan: ParsedPlan,
  config: ModelConfig | undefined,
  flags: Facts,
  diagnostics: DiagnosticList,
): Sourced<FieldValue<F>> | undefined {
  const flag = flags[field] as FieldValue<F> | undefined;
  const inConfig = statedBy(config, field);
  const inPlan = statedBy(plan.model, field);
  if (flag !== undefined) {
    for (const stated of [inConfig, inPlan]) {
      if (stated === undefined || stated.value === flag) continue;
      addDiagnostic(diagnostics, 'warning', 'MOA1203', stated.place, `${flagText(field, flag)} overrides ${stated.value}`);
    }
    return { value: flag };
  }
  if (inConfig !== undefined && inPlan !== undefined && inConfig.value !== inPlan.value) {
    const message = `the plan's model has ${field} ${inPlan.value}, the model config has ${inConfig.value}`;
    const help = field === 'scale' ? 'mend one of them' : `mend one of them, or pass ${MODEL_FLAG_NAMES[field as keyof typeof MODEL_FLAG_NAMES]} to decide`;
    addDiagnostic(diagnostics, 'error', 'MOA1202', inPlan.place, message, help, { says: `${field} ${inConfig.value}`, place: inConfig.place });
  }
  return inConfig ?? inPlan;
}

function statedBy<F extends Field>(model: DescribedModel | undefined, field: F): Sourced<FieldValue<F>> | undefined {
  const value = model && ({ ...model.shape, ...model.attention, elementType: model.elementType }[field] as FieldValue<F> | undefined);
  return value === undefined ? undefined : { value, place: model?.places[field] };
}

/** A flag as it was typed. */
function flagText(field: Field, value: FieldValue<Field>): string {
  const name = MODEL_FLAG_NAMES[field as keyof typeof MODEL_FLAG_NAMES];
  if (typeof value !== 'boolean') return `${name} ${value}`;
  return value ? name : name.replace('--', '--no-');
}

function noteDefaults(plan: ParsedPlan, kvHeads: unknown, headDim: unknown, diagnostics: DiagnosticList): void {
  const assumed: string[] = [];
  if (kvHeads === undefined) assumed.push(`kvHeads ${plan.queryHeads}, as many as query heads`);
  if (headDim === undefined) assumed.push(`headDim ${DEFAULT_HEAD_DIM}`);
  if (assumed.length === 0) return;
  const help = `pass --model config.json, or ${MODEL_FLAG_NAMES.kvHeads} and ${MODEL_FLAG_NAMES.headDim}`;
  addDiagnostic(diagnostics, 'warning', 'MOA1204', plan.alphasPlace, `nothing says the model's shape; assumed: ${assumed.join('; ')}`, help);
}

/** What the kernels can do (MOA1205 to MOA1207). */
function checkSupport(queryHeads: Sourced<number>, kvHeads: Sourced<number>, headDim: Sourced<number>, diagnostics: DiagnosticList): void {
  const groupSize = queryHeads.value / kvHeads.value;
  const other = { says: `${queryHeads.value} query heads`, place: queryHeads.place };
  if (!Number.isInteger(groupSize)) {
    const message = `${queryHeads.value} query heads cannot be shared out evenly among ${kvHeads.value} KV heads`;
    addDiagnostic(diagnostics, 'error', 'MOA1205', kvHeads.place, message, 'kvHeads divides queryHeads', other);
  } else if (groupSize > MAX_GROUP_SIZE) {
    const message = `${groupSize} query heads share a KV head; the kernels support 1 to ${MAX_GROUP_SIZE} for now`;
    addDiagnostic(diagnostics, 'error', 'MOA1207', kvHeads.place, message, undefined, other);
  }
  if (!HEAD_DIMS.includes(headDim.value)) {
    addDiagnostic(diagnostics, 'error', 'MOA1206', headDim.place, `headDim ${headDim.value}; the kernels support ${HEAD_DIMS.join(', ').replace(/, (?=\d+$)/, ' and ')} for now`);
  }
}
