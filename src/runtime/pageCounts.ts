/** How many pages sequences use and write, from their lengths alone: no ring is walked. All counts are exact. */
import { evaluate } from '../ir/affine.ts';
import type { PlanDefinition } from '../ir/planDefinition.ts';
import { Memo } from '../util/memo.ts';
import { cachedBounds, ringPagesInUse } from './sessionLayout.ts';

/** What page counts depend on. */
export type PagedPlan = Pick<PlanDefinition, 'layout' | 'layers' | 'expressions'>;

/** Rings of the same geometry at some length bound. */
interface EqualRings {
  /** The first tokens of a sequence, which stay. */
  readonly sink: number;
  /** Tokens behind the sink that a ring keeps. */
  readonly window: number;
  /** How many rings there are of these, over all layers. */
  readonly rings: number;
}

/**
 * Pages of a sequence over all rings of a session's layers. A call takes time that grows with the number of different rings at the bound,
 * and with nothing else.
 */
export class PageCounts {
  readonly #plan: PagedPlan;
  readonly #layers: readonly number[];
  readonly #ringsAt = new Memo<number, readonly EqualRings[]>(cachedBounds);

  /** @param layers the session's, by their numbers in the plan */
  constructor(plan: PagedPlan, layers: readonly number[]) {
    this.#plan = plan;
    this.#layers = layers;
  }

  /** Pages that a sequence of at most `bound` tokens holds when it has `length`. */
  inUse(bound: number, length: number): number {
    const { pageTokens } = this.#plan.layout;
    let pages = 0;
    for (const { sink, window, rings } of this.#rings(bound)) pages += rings * ringPagesInUse(length, window, sink, pageTokens);
    return pages;
  }

  /** A length up to which a sequence holds as many pages as at `length`: where the first of its rings comes to another page, or before. */
  evenTo(bound: number, length: number): number {
    const { pageTokens } = this.#plan.layout;
    let even = Infinity;
    for (const { sink } of this.#rings(bound)) {
      const begin = length > sink ? sink : 0;
      const page = begin + Math.ceil((length - begin) / pageTokens) * pageTokens;
      even = Math.min(even, begin === 0 && sink > 0 ? Math.min(sink, page) : page);
    }
    return even;
  }

  /**
   * Pages that the tokens `from .. to - 1` lie in, each counted once however often the tokens go round its ring.
   * @param length counts those pages alone that are in use at this length; all of them by default
   */
  touched(bound: number, from: number, to: number, length: number = to): number {
    if (from >= to) return 0;
    const { pageTokens } = this.#plan.layout;
    let pages = 0;
    for (const { sink, window, rings } of this.#rings(bound)) {
      const limit = ringPagesInUse(length, window, sink, pageTokens);
      pages += rings * ringPagesTouched(from, to, window, sink, pageTokens, limit);
    }
    return pages;
  }

  /** Pages of a sequence that has as many tokens as its bound allows. */
  most(bound: number): number {
    return this.inUse(bound, bound);
  }

  #rings(bound: number): readonly EqualRings[] {
    return this.#ringsAt.get(bound, () => this.#countRings(bound));
  }

  #countRings(bound: number): readonly EqualRings[] {
    const { layers, expressions } = this.#plan;
    const values = expressions.map((expression) => evaluate(expression, { N: bound }));
    const found = new Map<string, EqualRings>();
    for (const layer of this.#layers) {
      const { sink, rings } = layers[layer]!;
      for (const { span, kvHeads } of rings) {
        const window = values[span]! - sink;
        const key = `${sink} ${window}`;
        found.set(key, { sink, window, rings: (found.get(key)?.rings ?? 0) + kvHeads.length });
      }
    }
    return [...found.values()];
  }
}

/** Of the first `limit` pages of a ring, those that the tokens `from .. to - 1` lie in; there is at least one such token. */
function ringPagesTouched(from: number, to: number, window: number, sink: number, pageTokens: number, limit: number): number {
  const pageOf = (index: number): number => Math.floor(index / pageTokens);
  const inSink = from < sink ? pagesBetween(pageOf(from), pageOf(Math.min(to, sink) - 1) + 1, limit) : 0;
  if (to <= sink) return inSink;
  const begin = Math.max(from, sink) - sink;
  const end = to - sink;
  const windowPages = Math.ceil(window / pageTokens);
  const windowLimit = limit - Math.ceil(sink / pageTokens);
  if (end - begin >= window) return inSink + pagesBetween(0, windowPages, windowLimit);
  const first = begin % window;
  const last = (end - 1) % window;
  if (first <= last) return inSink + pagesBetween(pageOf(first), pageOf(last) + 1, windowLimit);
  // Round the end of the ring: its first pages up to that of the last token, and the others from that of the first token on.
  const low = pageOf(last) + 1;
  return inSink + pagesBetween(0, low, windowLimit) + pagesBetween(Math.max(low, pageOf(first)), windowPages, windowLimit);
}

/** Pages `begin .. end - 1` that are among the first `limit`. */
const pagesBetween = (begin: number, end: number, limit: number): number => Math.max(0, Math.min(end, limit) - begin);
