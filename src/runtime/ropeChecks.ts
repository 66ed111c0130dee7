/** Checks of frequencies and tables that a session is given to rotate by. */
import type { RopeFrequencies } from '../ir/ropeFrequencies.ts';
import type { RuntimeError } from './runtimeError.ts';
import { sessionError } from './sessionChecks.ts';

const fail = (message: string): RuntimeError => sessionError('badOptions', message);

export function isNumbers(value: unknown): value is ArrayLike<number> {
  return Array.isArray(value) || value instanceof Float32Array || value instanceof Float64Array;
}

/**
 * The frequencies as kernels take them. Those that no theta gives are scaled by some method, of
 * which YaRN and LongRoPE have a factor for cos and sin too: there it has to be said.
 */
export function checkFrequencies(
  values: ArrayLike<number>,
  attentionFactor: number | undefined,
  rotaryDim: number,
): RopeFrequencies {
  const pairs = rotaryDim / 2;
  if (values.length !== pairs) {
    throw fail(
      `rope.inverseFrequencies has ${values.length} values; kernels that turn ${rotaryDim} elements of a head need ${pairs}${partialHelp}`,
    );
  }
  const frequencies = new Float32Array(pairs);
  for (let pair = 0; pair < pairs; pair += 1) {
    const value: unknown = values[pair];
    frequencies[pair] = typeof value === 'number' ? value : NaN;
    if (!(frequencies[pair]! > 0 && Number.isFinite(frequencies[pair]!))) {
      throw fail(
        `rope.inverseFrequencies[${pair}] is ${String(value)}; it is a positive number that float32 holds${value === 0 ? partialHelp : ''}`,
      );
    }
  }
  if (attentionFactor === undefined && !isGeometric(frequencies)) {
    throw fail(
      'rope.inverseFrequencies are scaled: say rope.attentionFactor too, what cos and sin are multiplied by; YaRN and LongRoPE have one, others have 1',
    );
  }
  return { inverseFrequencies: frequencies, attentionFactor: attentionFactor ?? 1 };
}

const partialHelp =
  '. A model that turns a part of each head needs kernels for that: compile the plan with --model config.json';

/** Whether each frequency is the same part of the one before it, to rounding. */
function isGeometric(frequencies: Float32Array): boolean {
  const ratio = frequencies[1]! / frequencies[0]!;
  return frequencies.every(
    (frequency, pair) =>
      pair === 0 || Math.abs(frequency / frequencies[pair - 1]! / ratio - 1) < 1e-5,
  );
}

/**
 * How far the length of (cos, sin) may be from that of the others, in parts of it: some roundings
 * of float32.
 */
const tolerance = 1e-5;

/**
 * The table, found to be one: the first position has angles of 0, and cos^2 + sin^2 is the same for
 * all pairs and positions.
 */
export function checkCosSin(
  table: Float32Array,
  rotaryDim: number,
  positions: number,
): Float32Array {
  const layout = `[positions][${rotaryDim / 2}][2], cos and sin of a pair beside each other`;
  if (table.length !== positions * rotaryDim) {
    throw fail(
      `rope.cosSin has ${table.length} values; ${positions} positions, as many as the length bound, need ${positions * rotaryDim}: ${layout}`,
    );
  }
  const square = table[0]! ** 2;
  if (!(square > 0 && Number.isFinite(square) && table[0]! > 0))
    throw fail(
      `rope.cosSin begins with ${table[0]}; that is cos 0 times the attention factor. The layout is ${layout}`,
    );
  for (let at = 0; at < table.length; at += 2) {
    const [cos, sin] = [table[at]!, table[at + 1]!];
    const turned = at < rotaryDim && !(Math.abs(sin) <= tolerance * table[0]! && cos > 0);
    if (!turned && Math.abs((cos ** 2 + sin ** 2) / square - 1) <= tolerance) continue;
    const what = turned
      ? 'position 0 does not turn'
      : `cos^2 + sin^2 is ${square.toPrecision(6)} for every pair`;
    throw fail(
      `rope.cosSin[${at}] and [${at + 1}] are ${cos} and ${sin}, as position ${Math.floor(at / rotaryDim)}, pair ${(at % rotaryDim) / 2}; ${what}. The layout is ${layout}`,
    );
  }
  return table;
}
