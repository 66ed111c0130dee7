/** How people write GPU architectures, and how nvcc, ptxas and fatbinary want them. Nothing outside `src/arch` spells these. */

export type ArchitectureSpelling =
  /** `sm_80`, `80`, `8.0`, `8.0+PTX`. */
  | { readonly kind: 'exact'; readonly name: string; readonly ptx: boolean }
  /** `sm_90a`, `9.0a`, `100f`: machine code for one chip or family only; `name` is with the suffix, `base` without. */
  | { readonly kind: 'suffixed'; readonly name: string; readonly base: string; readonly ptx: boolean }
  /** `native`: the GPUs of this machine. `all-major`: the first architecture of each generation. `all`: every one. */
  | { readonly kind: 'native' }
  | { readonly kind: 'all-major' }
  | { readonly kind: 'all' }
  | { readonly kind: 'unknown' };

/** Reads one spelling. Case does not matter, nor the underscore. Whether the architecture exists is not checked. */
export function readArchitectureSpelling(text: string): ArchitectureSpelling {
  const lower = text.trim().toLowerCase();
  if (lower === 'native' || lower === 'all-major' || lower === 'all') return { kind: lower };
  const match = /^(?:(?:sm_?)?([1-9]\d{1,2})|([1-9]\d?)\.(\d))([af])?(\+ptx)?$/.exec(lower);
  if (match === null) return { kind: 'unknown' };
  const [, joined, major, minor, suffix, ptx] = match;
  const name = `sm_${joined ?? `${major}${minor}`}`;
  if (suffix !== undefined) return { kind: 'suffixed', name: `${name}${suffix}`, base: name, ptx: ptx !== undefined };
  return { kind: 'exact', name, ptx: ptx !== undefined };
}

/** `sm_100` of compute capability 10.0. */
export function architectureName([major, minor]: readonly [number, number]): string {
  return `sm_${major}${minor}`;
}

/** `90a` of `sm_90a`: what fatbinary's `sm=` takes. Throws an internal error for any other spelling. */
export function architectureNumber(name: string): string {
  const match = /^sm_(\d{2,3}[af]?)$/.exec(name);
  if (match === null) throw new Error(`internal error: ${name} is not an architecture's name`);
  return match[1]!;
}

/** `sm_90` of `sm_90a`. */
export const withoutSuffix = (name: string): string => name.replace(/[af]$/, '');

/** `compute_80` of `sm_80`: what nvcc calls the PTX of an architecture. */
export function ptxArchitecture(name: string): string {
  return `compute_${architectureNumber(name)}`;
}

/** The `-gencode` values for machine code of `name`, with its PTX if wanted: `arch=compute_80,code=[sm_80,compute_80]`. */
export function gencode(name: string, ptx: boolean): string {
  const virtual = ptxArchitecture(name);
  return `arch=${virtual},code=${ptx ? `[${name},${virtual}]` : name}`;
}

/** The architecture that a line of `nvcc --dryrun` hands to ptxas. */
export function architectureOfDryRun(text: string): string | undefined {
  return /\bptxas"?\s.*?-arch[= ]\s*(sm_\d{2,3}[af]?)/.exec(text)?.[1];
}
