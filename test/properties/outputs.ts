/** Runs a case without an oracle and returns every bit that came out, for comparisons of two runs. */
import type { DeviceOptions } from '../../src/runtime/device.ts';
import { specOf, type Case } from './case.ts';
import type { Target } from './harness.ts';
import { chunksOf, makeTokens, openSession, type Tokens } from './runCase.ts';
import { shapeOf } from './shapes.ts';
import { TensorSet } from './tensors.ts';

export interface Outputs {
  /** `[layer]`: of the prefill or its chunks, then of each decode step. */
  readonly out: readonly (readonly Uint16Array[])[];
  readonly lse: readonly (readonly Float32Array[])[];
}

export interface OutputOptions {
  readonly device?: DeviceOptions;
  /** Instead of those that the case's seed makes. */
  readonly tokens?: readonly (readonly Tokens[])[];
  /** Capture one decode step and launch it for every step, over tensors that are written anew. */
  readonly capture?: boolean;
}

export async function outputsOf(target: Target, testCase: Case, options: OutputOptions = {}): Promise<Outputs> {
  const device = await target.device({ seed: testCase.seed, ...options.device });
  using plan = await target.load(device, specOf(testCase));
  using session = openSession(plan, testCase);
  const shape = shapeOf(testCase.shape);
  const tokens = options.tokens ?? makeTokens(testCase);
  const out = testCase.rules.map((): Uint16Array[] => []);
  const lse = testCase.rules.map((): Float32Array[] => []);
  const keep = (layer: number, tensors: TensorSet): void => {
    out[layer]!.push(tensors.bits('out'));
    lse[layer]!.push(tensors.logSums());
  };
  testCase.rules.forEach((_, layer) => {
    for (const chunk of chunksOf(testCase)) {
      using tensors = new TensorSet(device, shape, chunk.map(([begin, end], n) => ({ inputs: tokens[layer]![n]!.given, begin, end })));
      session.prefill(layer, tensors);
      keep(layer, tensors);
    }
  });
  const stepTensors = (layer: number, step: number): TensorSet =>
    new TensorSet(device, shape, testCase.prefill.map((count, n) => ({ inputs: tokens[layer]![n]!.given, begin: count + step, end: count + step + 1 })));
  if (options.capture === true && testCase.decodes > 0) {
    const fixed = testCase.rules.map((_, layer) => stepTensors(layer, 0));
    using step = session.capture(() => fixed.forEach((tensors, layer) => session.decode(layer, tensors)));
    for (let n = 0; n < testCase.decodes; n += 1) {
      fixed.forEach((tensors, layer) => {
        using next = stepTensors(layer, n);
        for (const name of ['q', 'k', 'v'] as const) tensors[name].copyFrom(next[name]);
      });
      step.launch();
      fixed.forEach((tensors, layer) => keep(layer, tensors));
    }
    fixed.forEach((tensors) => tensors.dispose());
  } else {
    for (let n = 0; n < testCase.decodes; n += 1) {
      testCase.rules.forEach((_, layer) => {
        using tensors = stepTensors(layer, n);
        session.decode(layer, tensors);
        keep(layer, tensors);
      });
    }
  }
  return { out, lse };
}

/** Throws when two runs differ in a bit. LSEs are compared as bits too. */
export function expectSameBits(what: string, a: Outputs, b: Outputs): void {
  a.out.forEach((steps, layer) =>
    steps.forEach((bits, step) => {
      firstDifference(`${what}: out of layer ${layer}, step ${step}`, bits, b.out[layer]![step]!);
      firstDifference(`${what}: LSE of layer ${layer}, step ${step}`, words(a.lse[layer]![step]!), words(b.lse[layer]![step]!));
    }),
  );
}

export function firstDifference(what: string, a: ArrayLike<number>, b: ArrayLike<number>): void {
  if (a.length !== b.length) throw new Error(`${what}: ${a.length} elements and ${b.length}`);
  for (let i = 0; i < a.length; i += 1) {
    if (a[i] !== b[i]) throw new Error(`${what} differs at element ${i}: ${a[i]} and ${b[i]}`);
  }
}

const words = (floats: Float32Array): Uint32Array => new Uint32Array(floats.buffer, floats.byteOffset, floats.length);
