/** What a row of the table of variants says. */
import type { Architecture } from '../arch/arch.ts';
import type { Expression } from '../ir/affine.ts';
import type { ParamField } from '../ir/kernelParams.ts';
import type {
  CacheLayout,
  DecodeCompute,
  KernelNode,
  KernelRole,
  KernelRope,
  ScoreOptions,
} from '../ir/nodes.ts';

/**
 * A variant of a kernel: all that the compiler and the runtime need to know of it besides its
 * headers.
 */
export interface Variant<Kernel extends KernelNode = KernelNode, Tile = unknown> {
  /** The file is `templates/kernels/<template>.cu.hbs`. Variants may share one. */
  readonly template: string;
  readonly params: ParamList;
  readonly features: VariantFeatures;
  /** What `select` chooses from. Undefined where there is nothing for a head dimension. */
  tiles(headDim: number, architecture: TileArchitecture): Tile | undefined;
  /** The kernel that does what is asked for, with the tile that the architecture has space for. */
  select(request: RequestOf[Kernel['role']]): Kernel;
  /** The fields that its template names besides those of every kernel and of masks. */
  context(kernel: Kernel): object;
  /** Blocks that run at once on one multiprocessor; work lists are cut for so many. 0: there is no such list. */
  blocksPerSm(kernel: Kernel): number;
  /** Floats of the partial result of one split: for each row its output, maximum and sum. 0: nothing is split. */
  partialFloats(kernel: Kernel): number;
  /** Blocks of a launch (`grids.ts`). */
  grid(kernel: Kernel): Expression;
}

/** The fields of a parameter struct. Variants with equal structs share one list. */
export interface ParamList {
  /** In a package's `params`. */
  readonly name: string;
  readonly fields: readonly ParamField[];
}

/** What the compiler and the runtime ask of a variant, where they do not care which one it is. */
export interface VariantFeatures {
  /** Makes scores of queries and keys, and masks them. */
  readonly attends: boolean;
  /** A warp of its own brings keys and values to shared memory. */
  readonly producerWarp: boolean;
  /** Takes queries, keys and values as tensor maps; otherwise as addresses. */
  readonly tensorMaps: boolean;
}

/** What tiles depend on besides the head dimension. */
export type TileArchitecture = Pick<Architecture, 'dependentLaunch'>;

/** What all kernels of a layer, an element type and an architecture have in common. */
export type KernelBase = Pick<
  KernelNode,
  | 'kind'
  | 'elementType'
  | 'headDim'
  | 'queryHeads'
  | 'kvHeads'
  | 'groupSize'
  | 'sink'
  | 'architectures'
  | 'layers'
>;

/** What a kernel is asked to do. */
export interface KernelRequest {
  readonly base: KernelBase;
  readonly architecture: Architecture;
  readonly layout: CacheLayout;
  readonly scores: ScoreOptions;
  /** Whether the model's shape is compiled in. */
  readonly specialised: boolean;
}

export interface AppendRequest extends KernelRequest {
  readonly rope: KernelRope;
}

export interface DecodeRequest extends AppendRequest {
  /** Whether it appends the new token; otherwise up to `tokens` new ones are in the rings already. */
  readonly appends: boolean;
  readonly tokens: number;
  /** Whether a query head of the layer may have a window shorter than its ring. */
  readonly ageMask: boolean;
  /** What it multiplies with, where it can; undefined: what was measured to be faster. */
  readonly compute: DecodeCompute | undefined;
}

interface RequestOf extends Record<KernelRole, KernelRequest> {
  readonly append: AppendRequest;
  readonly decode: DecodeRequest;
}
