/** What a compiled plan is to the host that runs it: the data of a package's `definition.json` (docs/package-format.md). */
import type { Expression } from './affine.ts';
import type { FieldType } from './kernelParams.ts';
import type { AttentionFacts, CacheLayout, DecodeSchedule, ElementType, KernelRole, KernelVariant, ModelShape, PrefillSchedule } from './nodes.ts';
import type { PlanTables } from './planTables.ts';
import type { PlannerRole } from './plannerRoles.ts';
import type { Rope, RopePairing } from './rope.ts';
import type { Rule, SpanLimits } from './rule.ts';

/** Changes when the runtime can no longer load older packages. */
export const definitionFormat = 8;

export interface RingGroupDefinition {
  /** KV heads whose rings are equal, rising. */
  readonly kvHeads: readonly number[];
  /** Indices into `rules`. */
  readonly rules: readonly number[];
  /** Indices into `expressions`: tokens and pages of one ring. */
  readonly span: number;
  readonly pages: number;
}

export interface LayerDefinition {
  /** The model's own window in this layer, in tokens: spans of rules are cut at it. Null where it attends everything. */
  readonly modelWindow: number | null;
  /** The tokens at the start that the layer always attends, and that its kernels are made for: 0 with a window. */
  readonly sink: number;
  /** The rule of each query head: indices into `rules`. */
  readonly heads: readonly number[];
  /** In the order of their pages. */
  readonly rings: readonly RingGroupDefinition[];
  /** Where the package has the model's RoPE: an index into `ropes`, or null for a layer without. */
  readonly rope?: number | null;
}

/** A struct that a kernel takes by value, as bytes. */
export interface ParamsDefinition {
  readonly bytes: number;
  /** Offsets are bytes; what lies between fields is 0. */
  readonly fields: readonly { readonly name: string; readonly type: FieldType; readonly offset: number }[];
}

/** What launches of any kernel need. */
export interface PlannerDefinition {
  /** Of its entry. */
  readonly name: string;
  readonly threads: number;
  /** Dynamic shared memory of a block, in bytes. */
  readonly sharedBytes: number;
  /** Its parameters: a name in `params`. */
  readonly params: string;
  /** Path of the source in the package. */
  readonly source: string;
}

export interface KernelDefinition extends PlannerDefinition {
  /** The operation, and how it is done. */
  readonly role: KernelRole;
  readonly variant: KernelVariant;
  readonly elementType: ElementType;
  /** Append and decode: rotates. Otherwise false. */
  readonly rope: boolean;
  /** Where it rotates: the elements of a head that turn, from the first on, and which turn together. */
  readonly rotaryDim?: number;
  readonly pairing?: RopePairing;
  /** Decode, and prefill where items may be cut in two: floats of one partial result. Otherwise 0. */
  readonly partialFloats: number;
  /** Decode and prefill: blocks of a launch that run at once on one multiprocessor. Otherwise 0. */
  readonly blocksPerSm: number;
  /** Prefill: query rows of a work item. Otherwise 0. */
  readonly rows: number;
  /** Decode: the most new tokens of a sequence, which are in the rings already; without it there is one, which the kernel appends. */
  readonly tokens?: number;
  /** Prefill and decode of a model with learned sinks: takes their logits. Absent otherwise. */
  readonly learnedSinks?: true;
  readonly architectures: readonly string[];
  readonly layers: readonly number[];
}

/** Which part of a model a plan is, where ranks share its heads out. */
export interface RankDefinition {
  readonly rank: number;
  readonly ranks: number;
  /** By layer: the model's KV heads, in the order that they have here. The query heads of each follow it. */
  readonly kvHeads: readonly (readonly number[])[];
}

export interface PlanDefinition {
  readonly format: number;
  readonly shape: ModelShape;
  /** How the model makes scores; absent where that is as usual (`usualAttention`). */
  readonly attention?: AttentionFacts;
  /** Of the plan. What a layer has of the sink, the layer says. */
  readonly limits: SpanLimits;
  /** A name in `src/mask/registry.ts`. */
  readonly mask: string;
  readonly layout: CacheLayout;
  /** The model's rotary position embeddings; absent where the compiler was not told the model, or kernels that rotate were left out. */
  readonly ropes?: readonly Rope[];
  readonly rules: readonly Rule[];
  readonly expressions: readonly Expression[];
  readonly layers: readonly LayerDefinition[];
  readonly kernels: readonly KernelDefinition[];
  /** Kernels that plan, by role: every architecture's code has them. */
  readonly planners: Readonly<Record<PlannerRole, PlannerDefinition>>;
  /** What of the plan they read. */
  readonly tables: PlanTables;
  readonly params: Readonly<Record<string, ParamsDefinition>>;
  readonly prefill: PrefillSchedule;
  readonly decode: DecodeSchedule;
  /** Path of the cubin for each architecture; empty in a package of sources. */
  readonly cubins: Readonly<Record<string, string>>;
  /** Where PTX lies, for GPUs that have no cubin, and of which architectures; absent in a package without PTX. */
  readonly ptx?: { readonly path: string; readonly architectures: readonly string[] };
  /** Compute capabilities that the package has code for, and whose blocks have the shared memory that its kernels take; of sources, what they can be compiled for. */
  readonly serves: readonly string[];
  /** Only in a package of one rank of several. */
  readonly tensorParallel?: RankDefinition;
}
