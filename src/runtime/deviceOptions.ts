import { architectures, findArchitecture } from '../arch/registry.ts';
import { readArchitectureSpelling } from '../arch/spelling.ts';
import { describeValue } from '../util/describeValue.ts';
import { didYouMean } from '../util/didYouMean.ts';
import { checkOptions } from './checkOptions.ts';
import { RuntimeError } from './runtimeError.ts';

/** For the emulator; a GPU has no use for them. */
export interface DeviceOptions {
  /** Draws the order of blocks, warps and asynchronous copies. Default 0; from 0 to 2^64 - 1. */
  readonly seed?: bigint | number;
  /** What the device claims to have: schedules are made for it. Default 8. */
  readonly multiprocessors?: number;
  /** A bank conflict is an error instead of a count. Default false. */
  readonly failOnBankConflict?: boolean;
  /** Whose kernels of a package are run: `sm_90a`, or `9.0a`. By default those of the package's first architecture. Not for a GPU, which runs what it can. */
  readonly architecture?: string;
}

const known: Readonly<Record<keyof DeviceOptions, true>> = Object.freeze({ seed: true, multiprocessors: true, failOnBankConflict: true, architecture: true });

const bad = (message: string, help = 'see DeviceOptions'): RuntimeError => new RuntimeError('badArgument', message, help);

/** The options with their defaults, each of its type. What only the addon knows the limits of, it checks. */
export function readDeviceOptions(options: DeviceOptions, kind: 'cuda' | 'emulator'): { readonly seed: bigint; readonly multiprocessors: number; readonly failOnBankConflict: boolean; readonly architecture: string | undefined } {
  checkOptions("the device's options", options, known, bad);
  const { seed = 0, multiprocessors = 8, failOnBankConflict = false, architecture } = options;
  if (!Number.isInteger(multiprocessors)) throw bad(`multiprocessors is ${describeValue(multiprocessors)}; it must be an integer from 1`);
  if (typeof failOnBankConflict !== 'boolean') throw bad(`failOnBankConflict is ${describeValue(failOnBankConflict)}; it must be true or false`);
  if (architecture !== undefined && kind === 'cuda') throw bad('architecture is for the emulator: a GPU runs the kernels of its own', 'leave it out');
  return { seed: seedOf(seed), multiprocessors, failOnBankConflict, architecture: architecture === undefined ? undefined : architectureOf(architecture) };
}

/** The name of an architecture, as people spell it. */
function architectureOf(given: unknown): string {
  const names = architectures.map(({ name }) => name);
  const spelling = typeof given === 'string' ? readArchitectureSpelling(given) : { kind: 'unknown' as const };
  if ((spelling.kind === 'exact' || spelling.kind === 'suffixed') && !spelling.ptx && findArchitecture(spelling.name) !== undefined) return spelling.name;
  const meant = typeof given === 'string' ? didYouMean(given, names) : undefined;
  throw bad(`architecture is ${describeValue(given)}; ${meant === undefined ? '' : `did you mean ${meant}? `}it is one of ${names.join(', ')}`);
}

export function seedOf(seed: bigint | number): bigint {
  if (typeof seed === 'bigint') return seed;
  if (!Number.isSafeInteger(seed)) throw bad(`the seed is ${describeValue(seed)}; it must be an integer from 0 to 2^64 - 1`);
  return BigInt(seed);
}
