/** Checks of what a session is made from, before anything is allocated. */
import { layerNumberBound } from '../ir/layerNumbers.ts';
import type { KernelDefinition, PlanDefinition } from '../ir/planDefinition.ts';
import { describeValue } from '../util/describeValue.ts';
import { checkCacheScales } from './cacheScales.ts';
import { positiveFloatProblem } from './checkFloat.ts';
import { checkOptions } from './checkOptions.ts';
import type { RuntimeError } from './runtimeError.ts';
import { sessionError } from './sessionChecks.ts';
import type { SessionShape } from './sessionLayout.ts';
import type { SessionOptions } from './sessionTypes.ts';
import { checkSinkLogits } from './sinkLogits.ts';

const known: Readonly<Record<keyof SessionOptions, true>> = Object.freeze({
  batch: true,
  lengthBound: true,
  pages: true,
  layers: true,
  elementType: true,
  scale: true,
  rope: true,
  cacheScales: true,
  slots: true,
  sinkLogits: true,
  decodeTokens: true,
  poolByte: true,
  pageOrder: true,
});

const bad = (message: string): RuntimeError => sessionError('badOptions', message);

function checkInteger(name: string, value: unknown, least: number, most: number, unit = ''): void {
  if (Number.isInteger(value) && (value as number) >= least && (value as number) <= most) return;
  throw bad(`${name} is ${describeValue(value)}; it must be an integer from ${least} to ${printed(most)}${unit}`);
}

/** Limits are powers of two, or one less. */
function printed(value: number): string {
  const power = Math.log2(value);
  if (value < 2 ** 20) return String(value);
  return Number.isInteger(power) ? `2^${power}` : `2^${Math.round(power)} - 1`;
}

function checkOneOf(name: string, value: unknown, choices: readonly string[]): void {
  if (value !== undefined && !choices.includes(value as string)) throw bad(`${name} is ${describeValue(value)}; it is ${choices.join(' or ')}`);
}

/** Slots, length bound, pages and layers. Other options of a session are known here and not looked at. */
export function checkSessionShape(planLayers: number, shape: SessionShape): void {
  checkOptions('the session\'s options', shape, known, bad);
  const { batch, lengthBound, pages, layers } = shape;
  checkInteger('batch', batch, 0, 65536);
  checkInteger('lengthBound', lengthBound, 1, 2 ** 27, ' tokens');
  if (pages !== undefined) checkInteger('pages', pages, 0, 2 ** 31 - 1);
  if (layers === undefined) return;
  if (!Array.isArray(layers)) throw bad(`layers is ${describeValue(layers)}; it must be an array of numbers of layers`);
  layers.forEach((layer: unknown, index) => {
    const before = index === 0 ? -1 : layers[index - 1]!;
    if (!Number.isInteger(layer) || (layer as number) <= before || (layer as number) >= planLayers) {
      throw bad(`layers[${index}] is ${describeValue(layer)}; layers rise, without repeats, from 0 to ${planLayers - 1}`);
    }
  });
  if (layers.length === 0) throw bad('layers is empty');
}

/** All options of a session, but for RoPE. `usable`: the kernels that were loaded. */
export function checkSessionOptions(plan: PlanDefinition, usable: readonly KernelDefinition[], options: SessionOptions): void {
  checkSessionShape(layerNumberBound(plan.shape), options);
  const { scale, slots, decodeTokens = 1, poolByte, pageOrder, cacheScales } = options;
  const problem = scale === undefined ? undefined : positiveFloatProblem(scale, [Math.LOG2E]);
  if (problem !== undefined) throw bad(`scale ${problem}`);
  checkOneOf('slots', slots, ['held', 'free']);
  if (poolByte !== undefined) checkInteger('poolByte', poolByte, 0, 255);
  if (pageOrder !== undefined && typeof pageOrder !== 'function') throw bad(`pageOrder is ${describeValue(pageOrder)}; it must be a function`);
  checkCacheScales(plan, cacheScales);
  checkSinkLogits(plan, options.sinkLogits);
  const most = Math.max(1, ...usable.map(({ tokens = 1 }) => tokens));
  if (!Number.isInteger(decodeTokens) || decodeTokens < 1 || decodeTokens > most) {
    throw bad(`decodeTokens is ${describeValue(decodeTokens)}; the package decodes ${most === 1 ? 'one token at a time' : `1 to ${most} tokens at once`}`);
  }
}

/** The order in which pages are taken, where the options have one, found to be a permutation. */
export function orderOfPages(pages: number, { pageOrder: given }: SessionOptions): Int32Array | undefined {
  if (given === undefined) return undefined;
  const order = given(pages);
  const seen = new Set(order);
  if (order.length !== pages || seen.size !== pages || order.some((page) => page < 0 || page >= pages)) {
    throw sessionError('badOptions', `pageOrder gave no permutation of 0 to ${pages - 1}`);
  }
  return order;
}
