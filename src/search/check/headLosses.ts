/**
 * Losses of heads by window, from the blocks of a profile: docs/search-formats.md, "Losses and costs of a plan". Written apart from what the
 * search itself uses, so that a mistake of one does not hide in the other.
 */
import { createHash } from 'node:crypto';
import type { DiagnosticList } from '../../util/diagnostics.ts';
import { visitFloats, withSafetensors } from '../profile/safetensors.ts';

/** Loss of a head for windows of 0, 1, .. N/64 pages. */
export type LossCurve = Float64Array;

export interface ProfileLosses {
  readonly sha256: string;
  /** What the file has, or does not have, that a profile of the certificate would not; nothing may be computed from it then. */
  readonly problem?: string;
  /** By profiled length, then by query head, counted through the layers. */
  readonly curves: ReadonlyMap<number, readonly LossCurve[]>;
}

export interface ExpectedProfile {
  readonly sha256: string;
  readonly lengths: readonly number[];
  readonly layers: number;
  readonly queryHeads: number;
  /** Pages of the plan's sink. */
  readonly sinkPages: number;
  /** The model's own window of each layer, where the plan says it. */
  readonly windows?: readonly (number | null)[] | undefined;
}

/** Reads the profile at `path` as that of a certificate. Undefined when the file cannot be read at all. */
export async function readHeadLosses(path: string, expected: ExpectedProfile, diagnostics: DiagnosticList): Promise<ProfileLosses | undefined> {
  return withSafetensors(path, diagnostics, async (source) => {
    const hash = createHash('sha256').update(source.head);
    const curves = new Map<number, LossCurve[]>();
    const problems: string[] = [];
    const format = source.metadata.get('format');
    if (format !== 'moa-profile' || source.metadata.get('version') !== '1') problems.push('it is not a profile of version 1');
    if (windowsIn(source.metadata.get('profile')) !== JSON.stringify(expected.windows ?? null)) problems.push("its model has other windows than the plan's");
    const missing = expected.lengths.filter((length) => !source.tensors.some(({ name }) => name === `influence.${length}`));
    if (missing.length > 0) problems.push(`it has no influence at ${missing.join(', ')}`);
    for (const tensor of source.tensors) {
      const length = expected.lengths.find((known) => tensor.name === `influence.${known}`);
      const pages = (length ?? 0) / 64;
      const shape = [expected.layers, expected.queryHeads, 2, pages, pages];
      const fits = length !== undefined && tensor.dtype === 'F32' && tensor.shape.length === 5 && tensor.shape.every((size, axis) => size === shape[axis]);
      if (!fits) problems.push(length === undefined ? 'it has other lengths' : `its influence at ${length} is of another shape`);
      const heads: LossCurve[] = [];
      const visit = (blocks: Float32Array): void => {
        const own = expected.windows?.[Math.floor(heads.length / expected.queryHeads)] ?? null;
        const curve = curveOf(blocks, pages, own === null ? expected.sinkPages : 0);
        if (curve === undefined && problems.length === 0) problems.push(`it has an influence at ${length} that is negative or not finite`);
        heads.push(curve ?? new Float64Array(pages + 1));
      };
      if (fits) await visitFloats(source, tensor, 2 * pages * pages, visit, (bytes) => hash.update(bytes));
      else await hashBytes(source.read, tensor, (bytes) => hash.update(bytes));
      if (length !== undefined) curves.set(length, heads);
    }
    const sha256 = hash.digest('hex');
    return problems[0] === undefined ? { sha256, curves } : { sha256, curves, problem: problems[0] };
  });
}

/** The windows of the model in a profile's description, as JSON; `null` where it says none. */
function windowsIn(description: string | undefined): string {
  try {
    return JSON.stringify((JSON.parse(description ?? '') as { readonly model?: { readonly windows?: unknown } }).model?.windows ?? null);
  } catch {
    return 'unknown';
  }
}

async function hashBytes(read: (position: number, target: Uint8Array) => Promise<void>, { offset, bytes }: { offset: number; bytes: number }, update: (part: Uint8Array) => void): Promise<void> {
  const buffer = new Uint8Array(1024 * 1024);
  for (let done = 0; done < bytes; done += buffer.length) {
    const part = buffer.subarray(0, Math.min(buffer.length, bytes - done));
    await read(offset + done, part);
    update(part);
  }
}

/**
 * For every window of m pages, row by row of queries: the near pairs of blocks up to bi - m - 1 and the far pairs of blocks up to bi - m are
 * left out, but for those in the sink. Undefined where a value is no influence.
 */
export function curveOf(blocks: Float32Array, pages: number, sinkPages: number): LossCurve | undefined {
  if (!blocks.every((value) => value >= 0 && value < Infinity)) return undefined;
  const curve = new Float64Array(pages + 1);
  // Sums of a row's blocks from the sink up to, not including, a key block.
  const near = new Float64Array(pages + 1);
  const far = new Float64Array(pages + 1);
  for (let query = sinkPages; query < pages; query += 1) {
    for (let key = sinkPages; key <= query; key += 1) {
      near[key + 1] = near[key]! + blocks[query * pages + key]!;
      far[key + 1] = far[key]! + blocks[(pages + query) * pages + key]!;
    }
    for (let m = 0; m <= query - sinkPages; m += 1) {
      curve[m] = curve[m]! + near[query - m]! + far[query - m + 1]!;
    }
  }
  return curve;
}

/** On a line between whole windows; 0 where the window holds the whole sequence. */
export function lossAt(curve: LossCurve, window: number): number {
  if (window >= curve.length - 1) return 0;
  const below = Math.floor(window);
  const part = window - below;
  return part === 0 ? curve[below]! : curve[below]! * (1 - part) + curve[below + 1]! * part;
}

const GAMMAS = [0, 0.25, 0.5, 0.75, 1];

/** How much a head's reach grows with the length: the power that explains best how its loss went from `shorter` to `longer`. */
export function gammaOf(shorter: LossCurve | undefined, longer: LossCurve): number {
  if (shorter === undefined || shorter[1] === 0 || longer[1] === 0) return 1;
  const growth = (longer.length - 1) / (shorter.length - 1);
  let [best, least] = [1, Infinity];
  for (const gamma of GAMMAS) {
    let error = 0;
    for (let m = 1; m < shorter.length - 1; m += 1) {
      const there = lossAt(longer, m * growth ** gamma);
      error += (shorter[m]! / shorter[1]! - (there === 0 ? 0 : there / lossAt(longer, growth ** gamma))) ** 2;
    }
    if (error <= least) [best, least] = [gamma, error];
  }
  return best;
}
