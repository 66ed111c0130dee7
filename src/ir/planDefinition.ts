/** What a compiled plan is to the host that runs it: the data of a package's `definition.json` (docs/package-format.md). */
import type { Expression } from './affine.ts';
import type { FieldType, Pointee } from './kernelParams.ts';
import type { AttentionFacts, CacheLayout, DecodeSchedule, ElementType, KernelRole, KernelVariant, ModelShape, PrefillSchedule } from './nodes.ts';
import type { PlannerRole } from './plannerRoles.ts';
import type { Rope, RopePairing } from './rope.ts';
import type { Rule, SpanLimits } from './rule.ts';
import type { EnumName, StructFieldType, StructName } from './structs.ts';

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

/** What a pointer of a kernel points to, or a buffer is an array of: a scalar, or a struct by its name in `structs`. */
export type BufferElement = Pointee;

/** A struct that a kernel takes by value, as bytes. */
export interface ParamsDefinition {
  readonly bytes: number;
  /** Offsets are bytes; what lies between fields is 0. */
  readonly fields: readonly {
    readonly name: string;
    readonly type: FieldType;
    /** Of a pointer: what it points to. */
    readonly of?: BufferElement;
    readonly offset: number;
    readonly comment: string;
  }[];
}

/** A struct that tables in device memory are made of. */
export interface StructDefinition {
  readonly bytes: number;
  /** Offsets are bytes. */
  readonly fields: readonly {
    readonly name: string;
    readonly type: StructFieldType;
    readonly offset: number;
    readonly comment: string;
  }[];
}

/**
 * What a buffer holds before the first launch.
 * - `none`: nothing is read before it was written.
 * - `bytes`: every byte is `value`.
 * - `range`: element n is `first + n * step`.
 * - `table`: the numbers of the table of that name, one row after the other.
 * - `host`: what the host knows; docs/package-format.md says what.
 */
export type InitialContent =
  | { readonly kind: 'none' }
  | { readonly kind: 'bytes'; readonly value: number }
  | { readonly kind: 'range'; readonly first: Expression; readonly step: number }
  | { readonly kind: 'table'; readonly name: Exclude<keyof PlanTables, 'layerClass'> }
  | { readonly kind: 'host' };

export interface BufferDefinition {
  readonly element: BufferElement;
  /** Elements in each dimension, the last one closest together; empty where the initial content says how many. */
  readonly shape: readonly Expression[];
  readonly initial: InitialContent;
  readonly comment: string;
}

/** Buffers that are allocated together. */
export interface BufferSet {
  /** Numbers that are variables of what follows, and parameters of launches: each may use those before it. */
  readonly sizes: Readonly<Record<string, Expression>>;
  readonly buffers: Readonly<Record<string, BufferDefinition>>;
}

/** Those of a session, of each plan of decode, and of prefills, which share theirs. */
export interface BufferSets {
  readonly session: BufferSet;
  readonly decode: BufferSet;
  readonly prefill: BufferSet;
}

/** What launches of any kernel need. */
export interface PlannerDefinition {
  /** Of its entry. */
  readonly name: string;
  readonly threads: number;
  /** Dynamic shared memory of a block, in bytes. */
  readonly sharedBytes: number;
  /** Blocks of a launch. */
  readonly grid: Expression;
  /** Its parameters: a name in `params`. */
  readonly params: string;
  /** Path of the source in the package, and its SHA-256. */
  readonly source: string;
  readonly sha256: string;
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

/** Tables of 32-bit integers. A class is a set of layers with equal rules, sink and window of the model. */
export interface PlanTables {
  /** The class of each layer of the plan. */
  readonly layerClass: readonly number[];
  /** `[class][query head]` expressions. */
  readonly headSpans: readonly (readonly number[])[];
  /** `[class][KV head]` expressions. */
  readonly ringSpans: readonly (readonly number[])[];
  /** `[class]` tokens at the start, which no window counts. */
  readonly sinks: readonly number[];
  /** `[rule]` alpha, numerator and denominator of beta. */
  readonly rules: readonly (readonly number[])[];
  /** Steps of all expressions: an operation (`spanOps`) and its value. */
  readonly steps: readonly (readonly number[])[];
  /** `[expression + 1]` where the steps of each begin. */
  readonly begins: readonly number[];
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
  /** The structs of tables that cross between host and device. */
  readonly structs: Readonly<Record<StructName, StructDefinition>>;
  /** Values of enumerations by name. */
  readonly enums: Readonly<Record<EnumName, Readonly<Record<string, number>>>>;
  readonly buffers: BufferSets;
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
