/**
 * The nodes of the IR, by level. They are readonly, JSON-safe, and complete: a level adds facts in new nodes and never fills
 * in old ones. `print.ts` writes them as text, `verify.ts` says what is legal.
 */
import type { Expression } from './affine.ts';
import type { ModelRope, RopePairing } from './rope.ts';
import type { Rule, SpanLimits } from './rule.ts';

/** Where a node came from: the path in the plan of the value that made it. */
export interface Origin {
  readonly path: string;
}

export type ElementType = 'bf16' | 'fp16';

/** What keys and values are stored as: the element type of the session, or 8 bits with a scale for each head (OCP E4M3). */
export type CacheType = 'element' | 'e4m3';

/** What a decode kernel multiplies with. */
export type DecodeCompute = 'tensorCores' | 'cudaCores';

export interface ModelShape {
  /** Layers of the model that have attention, which are those of a plan. */
  readonly layers: number;
  /** The number that each of them has in the model, rising; absent where they are all layers, which count from 0. */
  readonly layerNumbers?: readonly number[];
  readonly queryHeads: number;
  readonly kvHeads: number;
  /** Elements. */
  readonly headDim: number;
}

/** What a model does to its scores besides masking them. Compiled in: a kernel holds nothing of what is off. */
export interface ScoreOptions {
  /** Scores s become `softCap * tanh(s / softCap)` before the mask; 0: they stay as they are. */
  readonly softCap: number;
  /** Whether each query head has a logit of its own in the denominator of its softmax, without a key or a value. */
  readonly learnedSinks: boolean;
}

/** How a model makes scores of queries and keys. */
export interface AttentionFacts extends ScoreOptions {
  /** Multiplies q.k unless a session says otherwise. */
  readonly scale: number;
}

/** What all levels share: the model's shape, how it makes scores, and the plan's constants. */
export interface PlanFacts {
  readonly shape: ModelShape;
  readonly attention: AttentionFacts;
  /** How positions are encoded; null where nothing says it: then sessions are told. */
  readonly rope: ModelRope | null;
  readonly limits: SpanLimits;
}

/** What a layer is at every level. */
export interface LayerFacts {
  /**
   * The model's own sliding window in this layer, in tokens, as Hugging Face counts it: the query at i attends j with
   * i - j < window. Null where the model's layer attends everything. Such a layer has no sink (`ir/affine.ts`).
   */
  readonly modelWindow: number | null;
}

// ---- HeadModule: a rule for every query head ------------------------------------------------------------------------

export interface HeadNode {
  readonly kind: 'head';
  readonly rule: Rule;
  readonly origin: Origin;
}

export interface HeadLayer extends LayerFacts {
  readonly kind: 'headLayer';
  /** One for each query head. */
  readonly heads: readonly HeadNode[];
}

export interface HeadModule extends PlanFacts {
  readonly kind: 'headModule';
  readonly layers: readonly HeadLayer[];
}

// ---- RingModule: a ring for every KV head ---------------------------------------------------------------------------

/** The pages of one KV head. Its span is the largest among the rules of its query heads. */
export interface RingNode {
  readonly kind: 'ring';
  readonly kvHead: number;
  /** The different rules of its query heads, in canonical order. */
  readonly rules: readonly Rule[];
  /** Tokens that the ring keeps beyond its span, so that as many of the newest can be taken back; 0 where it keeps all that there are. */
  readonly slack: number;
  /** Whether a query head may have a window shorter than the ring, so that decode masks by age. */
  readonly ageMask: boolean;
}

export interface RingLayer extends LayerFacts {
  readonly kind: 'ringLayer';
  readonly heads: readonly HeadNode[];
  /** One for each KV head. */
  readonly rings: readonly RingNode[];
}

export interface RingModule extends PlanFacts {
  readonly kind: 'ringModule';
  readonly layers: readonly RingLayer[];
}

// ---- GroupModule: heads of one rule as a block ------------------------------------------------------------------------

export interface HeadGroup {
  readonly kind: 'headGroup';
  readonly rule: Rule;
  /** Query heads, rising. */
  readonly heads: readonly number[];
}

export interface RingGroup {
  readonly kind: 'ringGroup';
  readonly rules: readonly Rule[];
  /** Of each ring, as of `RingNode`. */
  readonly slack: number;
  readonly ageMask: boolean;
  /** KV heads, rising; their rings are equal. */
  readonly kvHeads: readonly number[];
}

export interface GroupLayer extends LayerFacts {
  readonly kind: 'groupLayer';
  readonly headGroups: readonly HeadGroup[];
  readonly ringGroups: readonly RingGroup[];
}

export interface GroupModule extends PlanFacts {
  readonly kind: 'groupModule';
  readonly layers: readonly GroupLayer[];
}

// ---- LaidOutModule: where rings lie -----------------------------------------------------------------------------------

export interface LaidOutRingGroup {
  readonly kind: 'laidOutRingGroup';
  readonly group: RingGroup;
  /** Tokens of one ring, the slack among them, a function of N. */
  readonly span: Expression;
  /** Pages of one ring, a function of N. */
  readonly pages: Expression;
  /** The group's first page among the pages of one sequence and layer, a function of N. */
  readonly firstPage: Expression;
}

export interface LaidOutLayer extends LayerFacts {
  readonly kind: 'laidOutLayer';
  readonly headGroups: readonly HeadGroup[];
  readonly ringGroups: readonly LaidOutRingGroup[];
  /** Pages of one sequence, a function of N. */
  readonly pages: Expression;
}

export interface CacheLayout {
  /** Tokens of a page. */
  readonly pageTokens: number;
  /** Bytes of a page: keys and values. */
  readonly pageBytes: number;
  readonly cacheType: CacheType;
}

export interface LaidOutModule extends PlanFacts {
  readonly kind: 'laidOutModule';
  readonly layout: CacheLayout;
  readonly layers: readonly LaidOutLayer[];
}

// ---- KernelModule: what is compiled -----------------------------------------------------------------------------------

interface KernelFacts {
  readonly kind: 'kernel';
  /** Also the name of its entry and of its file; spells out what it is specialised for. */
  readonly name: string;
  readonly elementType: ElementType;
  readonly headDim: number;
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly groupSize: number;
  /** Of the layers that launch it: the plan's, or 0 where the model has a window of its own. */
  readonly sink: number;
  readonly threads: number;
  readonly minBlocksPerSm: number;
  /** Dynamic shared memory of a block, in bytes. */
  readonly sharedBytes: number;
  /** What the tiles were chosen for, rising: `sm_80`. */
  readonly architectures: readonly string[];
  /** Layers that launch it, rising. */
  readonly layers: readonly number[];
}

/** Which elements of a head append and decode turn. */
export interface KernelRope {
  /** From the first on; 0 in a kernel that rotates nothing. */
  readonly rotaryDim: number;
  readonly pairing: RopePairing;
}

/** Prefill with `mma.sync` and `cp.async`: a block for each work item. */
export interface PortablePrefillKernel extends KernelFacts, ScoreOptions {
  readonly role: 'prefill';
  readonly variant: 'portable';
  /** Query rows of an item. */
  readonly rows: number;
  readonly warps: number;
  /** Whether the model's shape is compiled in; otherwise it comes with each launch. */
  readonly specialised: boolean;
}

/** Prefill with `wgmma`: persistent blocks with a producer warp each, which take items until none is left. */
export interface HopperPrefillKernel extends KernelFacts, ScoreOptions {
  readonly role: 'prefill';
  readonly variant: 'hopper';
  /** Query rows of an item: 64 for each group. */
  readonly rows: number;
  /** Warpgroups that compute. */
  readonly groups: number;
  /** Tiles of keys, and as many of values, in flight or in use. */
  readonly stages: number;
  /** Whether a warp keeps its queries in registers; otherwise the tensor cores read them from shared memory at each step. */
  readonly holdsQueries: boolean;
  /** Registers of a thread of the producer's warpgroup, and of those that compute. */
  readonly producerRegisters: number;
  readonly computeRegisters: number;
  /** As of `PortablePrefillKernel`. */
  readonly specialised: boolean;
}

/** What both variants of decode have. */
export interface DecodeFacts extends KernelFacts, ScoreOptions, KernelRope {
  readonly role: 'decode';
  /** Pages in flight or in use, in shared memory; of each group of warps where warps copy for themselves. */
  readonly stages: number;
  /** Groups of four warps, which take pages in turn. */
  readonly groups: number;
  readonly blocksPerSm: number;
  /** Whether it appends the new token of each sequence; otherwise new tokens are in the rings already. */
  readonly appends: boolean;
  /** The most new tokens of a sequence: 1 if it appends them. */
  readonly tokens: number;
  /** Rows of queries that a segment attends for, at most. */
  readonly tileRows: number;
  readonly ageMask: boolean;
  /** Whether it rotates the new token. */
  readonly rope: boolean;
  readonly cacheType: CacheType;
  readonly compute: DecodeCompute;
  /** Whether the model's shape is compiled in; otherwise it comes with each launch, for groups up to 16. */
  readonly specialised: boolean;
}

/** Decode whose warps copy pages for themselves, with `cp.async`. */
export interface PortableDecodeKernel extends DecodeFacts {
  readonly variant: 'portable';
}

/** Decode with a warp of its own that brings pages, by bulk copies. */
export interface HopperDecodeKernel extends DecodeFacts {
  readonly variant: 'hopper';
  /** The most pages under way at once. */
  readonly inFlight: number;
  /** The same before the launch before has ended. */
  readonly inFlightAtFirst: number;
}

export type DecodeKernel = PortableDecodeKernel | HopperDecodeKernel;

export interface AppendKernel extends KernelFacts, KernelRope {
  readonly role: 'append';
  readonly variant: 'portable';
  readonly cacheType: CacheType;
  readonly rope: boolean;
}

/** Makes pages of the element type of pages in E4M3, for prefill to read. */
export interface ExpandKernel extends KernelFacts {
  readonly role: 'expand';
  readonly variant: 'portable';
}

export type KernelNode = PortablePrefillKernel | HopperPrefillKernel | DecodeKernel | AppendKernel | ExpandKernel;

/** The operation of a kernel. */
export type KernelRole = KernelNode['role'];

/** How the operation is done: with which instructions, and what follows from them. */
export type VariantOf<Role extends KernelRole> = Extract<KernelNode, { readonly role: Role }>['variant'];
export type KernelVariant = VariantOf<KernelRole>;

/** What names a row of the table of variants (`src/kernels/variants.ts`). */
export interface KernelName {
  readonly role: KernelRole;
  readonly variant: KernelVariant;
}

export interface KernelModule extends PlanFacts {
  readonly kind: 'kernelModule';
  readonly layout: CacheLayout;
  readonly layers: readonly LaidOutLayer[];
  readonly kernels: readonly KernelNode[];
}

// ---- ScheduledModule: how work is cut ---------------------------------------------------------------------------------

export interface PrefillSchedule {
  readonly kind: 'prefillSchedule';
  /** Heads are worked on together whose keys and values fit so large a part of the L2 cache. */
  readonly cacheShare: number;
  /** An item of more pages than this, and than so large a part of what a block has to do for its sequence, is cut in two by its keys. */
  readonly splitPages: number;
  readonly splitShare: readonly [number, number];
  /** Items by their cost under the plan; otherwise by the position of their rows alone, the last rows of all heads first. */
  readonly byCost: boolean;
}

export interface DecodeSchedule {
  readonly kind: 'decodeSchedule';
  /** A block has at least so many pages to read, unless all rings together have fewer. */
  readonly minPages: number;
  /** What a segment costs beside its pages, in pages. */
  readonly segmentPages: number;
}

export interface ScheduledModule extends PlanFacts {
  readonly kind: 'scheduledModule';
  readonly layout: CacheLayout;
  readonly layers: readonly LaidOutLayer[];
  readonly kernels: readonly KernelNode[];
  readonly prefill: PrefillSchedule;
  readonly decode: DecodeSchedule;
}

export type Module = HeadModule | RingModule | GroupModule | LaidOutModule | KernelModule | ScheduledModule;
