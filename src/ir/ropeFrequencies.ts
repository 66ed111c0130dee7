import { assertNever } from '../util/invariant.ts';
import type { Rope, RopeScaling } from './rope.ts';

/**
 * What positions are multiplied by, for each pair in radians a token, and what cos and sin are
 * multiplied by.
 */
export interface RopeFrequencies {
  readonly inverseFrequencies: Float32Array;
  readonly attentionFactor: number;
}

const { fround, PI } = Math;

/**
 * The frequencies of a rotation, with the roundings of Hugging Face transformers
 * (`ROPE_INIT_FUNCTIONS`): exponent, power and reciprocal are each rounded to binary32.
 * `lengthBound` is the most tokens of a sequence; two variants depend on it: dynamic, whose theta
 * grows with it beyond the original length, and longrope, which takes its long factors there.
 */
export function ropeFrequencies(
  { theta, rotaryDim, scaling }: Rope,
  lengthBound: number,
): RopeFrequencies {
  const powers = (base: number): number[] =>
    Array.from({ length: rotaryDim / 2 }, (_, pair) =>
      fround(fround(base) ** fround((2 * pair) / rotaryDim)),
    );
  const plain = (base: number): number[] => powers(base).map((power) => fround(1 / power));
  const all = (values: readonly number[], attentionFactor = 1): RopeFrequencies => ({
    inverseFrequencies: Float32Array.from(values),
    attentionFactor,
  });
  switch (scaling.type) {
    case 'default':
      return all(plain(theta));
    case 'linear':
      return all(plain(theta).map((frequency) => frequency / fround(scaling.factor)));
    case 'dynamic':
      return all(plain(dynamicTheta(theta, rotaryDim, scaling, lengthBound)));
    case 'llama3':
      return all(plain(theta).map((frequency) => llama3(frequency, scaling)));
    case 'yarn':
      return all(yarn(powers(theta), theta, rotaryDim, scaling), scaling.attentionFactor);
    case 'longrope': {
      const factors =
        lengthBound > scaling.originalLength ? scaling.longFactors : scaling.shortFactors;
      return all(
        powers(theta).map((power, pair) => 1 / fround(fround(factors[pair]!) * power)),
        scaling.attentionFactor,
      );
    }
    default:
      return assertNever(scaling);
  }
}

type Scaling<Type extends RopeScaling['type']> = Extract<RopeScaling, { readonly type: Type }>;

function dynamicTheta(
  theta: number,
  rotaryDim: number,
  { factor, originalLength }: Scaling<'dynamic'>,
  lengthBound: number,
): number {
  const length = Math.max(lengthBound, originalLength);
  return (
    theta * ((factor * length) / originalLength - (factor - 1)) ** (rotaryDim / (rotaryDim - 2))
  );
}

/**
 * Wavelengths over `originalLength / lowFrequencyFactor` are stretched, and those between that and
 * the other bound in part.
 */
function llama3(
  frequency: number,
  { factor, lowFrequencyFactor, highFrequencyFactor, originalLength }: Scaling<'llama3'>,
): number {
  const wavelength = fround(fround(1 / frequency) * fround(2 * PI));
  const stretched = fround(frequency / fround(factor));
  if (wavelength > fround(originalLength / lowFrequencyFactor)) return stretched;
  if (wavelength < fround(originalLength / highFrequencyFactor)) return frequency;
  const turns = fround(fround(1 / wavelength) * fround(originalLength));
  const smooth = fround(
    fround(turns - fround(lowFrequencyFactor)) / fround(highFrequencyFactor - lowFrequencyFactor),
  );
  const low = fround(fround(fround(1 - smooth) * frequency) / fround(factor));
  return fround(low + fround(smooth * frequency));
}

/**
 * Between the pairs that turn `betaFast` and `betaSlow` times in the original length, a ramp from
 * the plain to the divided frequency.
 */
function yarn(
  powers: readonly number[],
  theta: number,
  rotaryDim: number,
  { factor, betaFast, betaSlow, truncate, originalLength }: Scaling<'yarn'>,
): number[] {
  const pairOf = (turns: number): number =>
    (rotaryDim * Math.log(originalLength / (turns * 2 * PI))) / (2 * Math.log(theta));
  const [from, to] = truncate
    ? [Math.floor(pairOf(betaFast)), Math.ceil(pairOf(betaSlow))]
    : [pairOf(betaFast), pairOf(betaSlow)];
  const begin = Math.max(from, 0);
  const end = Math.min(to, rotaryDim - 1);
  const width = fround(begin === end ? end + 0.001 - begin : end - begin);
  return powers.map((power, pair) => {
    const ramp = Math.min(Math.max(fround(fround(pair - fround(begin)) / width), 0), 1);
    const plainPart = fround(1 - ramp);
    const divided = fround(1 / fround(fround(factor) * power));
    return fround(fround(divided * fround(1 - plainPart)) + fround(fround(1 / power) * plainPart));
  });
}
