/** What the numbers of a plan look like when many of them are wrong in the same way. */

/** A mistake that explains all wrong numbers of the matrices it is about. */
export interface Guess {
  readonly about: readonly ('alphas' | 'betas')[];
  /** What they look like, and what to do. */
  readonly help: string;
}

/** The tokens of a page, in which some count spans. */
const page = 64;

/** A million tokens, in pages. */
const longestInPages = 2 ** 14;

/**
 * The mistake that most likely made these numbers, some of which are no alphas or betas; undefined
 * where none explains them.
 */
export function guessMatrices(
  alphas: readonly number[],
  betas: readonly number[],
): Guess | undefined {
  if (alphas.length === 0 || betas.length === 0) return undefined;
  const alphasAreParts = alphas.every(isPart);
  const betasAreParts = betas.every(isPart);
  const betasAreIntegers = betas.every(Number.isInteger);
  const largestBeta = betas.reduce((most, beta) => Math.max(most, beta), 0);

  // Alphas of 0 go with betas in percent, and with anything else that is up to 100.
  const alphasHoldFractions = alphas.some((alpha) => !Number.isInteger(alpha));
  if (
    alphasAreParts &&
    betasAreIntegers &&
    !betasAreParts &&
    (alphasHoldFractions || largestBeta > 100 || betas.some((beta) => beta < 0))
  ) {
    return {
      about: ['alphas', 'betas'],
      help: 'alphas and betas look swapped: alpha is a whole number of tokens, beta a part from 0 to 1',
    };
  }
  if (
    largestBeta > 2 &&
    betas.every((beta) => beta >= 0 && beta <= 100) &&
    mostly(betas, (beta) => beta >= 1)
  ) {
    return { about: ['betas'], help: 'betas look like percent, 0 to 100: divide them by 100' };
  }
  if (alphasHoldFractions && alphas.every((alpha) => Math.abs(alpha) <= 1)) {
    return {
      about: ['alphas'],
      help: 'alphas look like fractions of the sequence: those are betas; alpha is a whole number of tokens',
    };
  }
  if (
    severalFractions(alphas) &&
    alphas.every((alpha) => Math.abs(alpha) <= longestInPages && Number.isInteger(alpha * page))
  ) {
    return {
      about: ['alphas'],
      help: `alphas look like pages of ${page} tokens: multiply them by ${page}`,
    };
  }
  return undefined;
}

const isPart = (value: number): boolean => value >= 0 && value <= 1;

const severalFractions = (values: readonly number[]): boolean =>
  values.filter((value) => !Number.isInteger(value)).length > 1;

/** Whether more than half of the numbers that are not 0 are so. */
function mostly(values: readonly number[], holds: (value: number) => boolean): boolean {
  const others = values.filter((value) => value !== 0);
  return others.filter(holds).length * 2 > others.length;
}
