import type { PlanDefinition } from '../ir/planDefinition.ts';
import type { LayerTables } from './layerTables.ts';
import type { PagePool } from './pagePool.ts';
import { sessionError } from './sessionChecks.ts';
import { ringPagesInUse, type LayerLayout, type SessionLayout } from './sessionLayout.ts';

/** Tokens of the sequences in the cache of a layer, by slot. */
export interface LayerLengths {
  /** -1 for a slot that holds no sequence, as on the device. */
  readonly lengths: Int32Array;
  /** The most that the sequence had since its ring went round: what the ring has lost follows from that, not from the length after a truncation. */
  readonly reached: Int32Array;
}

/** A run of pages, in numbers of the pool. */
export interface PageCopy {
  readonly from: number;
  readonly to: number;
  readonly pages: number;
}

/** The slots of a session on the host: which hold a sequence, of what length bound, in which pages, and how many tokens each layer has of it. */
export class Sequences {
  /** Length bound of each slot's sequence; 0 for a free slot. */
  readonly bounds: Int32Array;
  /** The pool's page of each entry; -1 where there is none. */
  readonly pageTable: Int32Array;
  /** In the order of the session's layers. */
  readonly layers: readonly LayerLengths[];
  #changes = 0;
  readonly #plan: PlanDefinition;
  readonly #layout: SessionLayout;
  readonly #tables: readonly LayerTables[];
  readonly #pool: PagePool;

  constructor(plan: PlanDefinition, layout: SessionLayout, pool: PagePool, batch: number) {
    this.#plan = plan;
    this.#layout = layout;
    this.#tables = [...new Set(layout.layers.map(({ tables }) => tables))];
    this.#pool = pool;
    this.bounds = new Int32Array(batch);
    this.pageTable = new Int32Array(layout.entries).fill(-1);
    this.layers = layout.layers.map(() => ({ lengths: new Int32Array(batch).fill(-1), reached: new Int32Array(batch) }));
  }

  /** Another number after every change of a length or a bound: what was computed from them holds as long as it stays. */
  get changes(): number {
    return this.#changes;
  }

  /** The first slot that holds no sequence. Throws MOA6108 when all do. */
  firstFree(): number {
    const slot = this.bounds.indexOf(0);
    if (slot < 0) throw sessionError('noFreeSlot', `all ${this.bounds.length} slots hold a sequence`);
    return slot;
  }

  /** Begins an empty sequence of at most `bound` tokens in a free slot. Throws MOA6109, and changes nothing, when the pool has too few pages. */
  join(slot: number, bound: number): void {
    const numbers = this.#pool.take(this.#layout.layers.reduce((sum, { tables }) => sum + tables.pagesAt(bound), 0));
    this.#tables.forEach((tables) => tables.setBound(slot, bound));
    let next = 0;
    for (const layer of this.#layout.layers) {
      for (const { entry, pages } of this.#ringsOf(layer, slot)) {
        this.pageTable.set(numbers.subarray(next, next + pages), entry);
        next += pages;
      }
    }
    this.bounds[slot] = bound;
    this.#setLengths(slot, 0);
  }

  /** Ends a slot's sequence: its pages are the pool's again. */
  leave(slot: number): void {
    for (const layer of this.#layout.layers) {
      for (const { entry, pages } of this.#ringsOf(layer, slot)) {
        this.#pool.giveBack(this.pageTable.slice(entry, entry + pages));
        this.pageTable.fill(-1, entry, entry + pages);
      }
    }
    this.bounds[slot] = 0;
    this.#setLengths(slot, -1);
  }

  /** Makes the empty sequence in slot `to` what the one in `from` is, and says which pages are to be copied: those with a token, in runs. */
  copy(from: number, to: number): PageCopy[] {
    const { pageTokens } = this.#plan.layout;
    const copies: PageCopy[] = [];
    this.#changes += 1;
    this.#layout.layers.forEach((layer, index) => {
      const { sink } = layer.tables;
      const { lengths, reached } = this.layers[index]!;
      lengths[to] = lengths[from]!;
      reached[to] = reached[from]!;
      const targets = this.#ringsOf(layer, to);
      this.#ringsOf(layer, from).forEach(({ entry, window }, ring) => {
        const pages = ringPagesInUse(lengths[from]!, window, sink, pageTokens);
        for (let page = 0; page < pages; page += 1) {
          const [source, target] = [this.pageTable[entry + page]!, this.pageTable[targets[ring]!.entry + page]!];
          const last = copies.at(-1);
          if (last !== undefined && last.from + last.pages === source && last.to + last.pages === target) copies[copies.length - 1] = { ...last, pages: last.pages + 1 };
          else copies.push({ from: source, to: target, pages: 1 });
        }
      });
    });
    return copies;
  }

  /** Takes back the tokens from `length` on. Throws MOA6110, and changes nothing, when a ring has lost tokens that the next one attends. */
  truncate(slot: number, length: number): void {
    this.#layout.layers.forEach((layer, index) => {
      const { sink } = layer.tables;
      const { lengths, reached } = this.layers[index]!;
      if (length > lengths[slot]!) throw sessionError('cannotTruncate', `sequence ${slot} has ${lengths[slot]} tokens in layer ${layer.layer}, fewer than ${length}`);
      if (length <= sink) return;
      for (const { kvHead, window: slots } of this.#ringsOf(layer, slot)) {
        const kept = reached[slot]! - slots;
        const needed = Math.max(sink, length - layer.tables.longestWindow(slot, kvHead) + 1);
        if (kept <= needed) continue;
        throw sessionError(
          'cannotTruncate',
          `sequence ${slot} cannot go back from ${lengths[slot]} to ${length} tokens: ${sink === 0 ? '' : 'behind the sink, '}the ring of KV head ${kvHead} in layer ${layer.layer} begins with token ${kept}, and token ${length} attends from ${needed} on`,
        );
      }
    });
    this.#changes += 1;
    for (const [index, { lengths, reached }] of this.layers.entries()) {
      lengths[slot] = length;
      // Of a sequence that no ring has gone round for, nothing is lost; what lies behind its end is written anew before it is read.
      const layer = this.#layout.layers[index]!;
      const { sink } = layer.tables;
      const wrapped = this.#ringsOf(layer, slot).some(({ window }) => reached[slot]! > sink + window);
      if (!wrapped || length <= sink) reached[slot] = length;
    }
  }

  /** Pages of a slot's sequence in the layer where it has the most. */
  mostPages(slot: number): number {
    return Math.max(...this.#tables.map((tables) => tables.pagesAt(this.bounds[slot]!)));
  }

  /** A sequence of `layer`, the session's nth, has `tokens` more. */
  advance(layer: number, slot: number, tokens: number): void {
    const { lengths, reached } = this.layers[layer]!;
    this.#changes += 1;
    lengths[slot]! += tokens;
    reached[slot] = Math.max(reached[slot]!, lengths[slot]!);
  }

  /** Every sequence of `layer` has `tokens` more, or as many as they say by slot. */
  advanceAll(layer: number, tokens: number | Int32Array): void {
    for (let slot = 0; slot < this.bounds.length; slot += 1) {
      if (this.bounds[slot]! > 0) this.advance(layer, slot, typeof tokens === 'number' ? tokens : tokens[slot]!);
    }
  }

  /** Throws MOA6101 where `tokens` more tokens of any sequence of `layer`, the session's nth, would not fit its length bound; or as many as they say by slot. */
  checkRoom(layer: number, tokens: number | Int32Array): void {
    for (let slot = 0; slot < this.bounds.length; slot += 1) {
      if (this.bounds[slot]! > 0) this.checkSequence(layer, slot, typeof tokens === 'number' ? tokens : tokens[slot]!);
    }
  }

  /** The same of one sequence. */
  checkSequence(layer: number, slot: number, tokens: number): void {
    const length = this.layers[layer]!.lengths[slot]!;
    const bound = this.bounds[slot]!;
    if (length + tokens <= bound) return;
    throw sessionError('sequenceFull', `sequence ${slot} holds ${length} of at most ${bound} tokens in layer ${this.#layout.layers[layer]!.layer}; ${tokens} more do not fit`);
  }

  /** How many times `tokens` more tokens of every sequence of `layer` fit the length bounds. */
  timesThatFit(layer: number, tokens: number): number {
    const { lengths } = this.layers[layer]!;
    let times = Infinity;
    for (let slot = 0; slot < this.bounds.length; slot += 1) {
      const bound = this.bounds[slot]!;
      if (bound > 0) times = Math.min(times, Math.floor((bound - lengths[slot]!) / tokens));
    }
    return times;
  }

  /** Says that every sequence has `length` tokens. */
  fillAll(length: number): void {
    this.bounds.forEach((bound, slot) => {
      if (bound > 0) this.#setLengths(slot, length);
    });
  }

  #setLengths(slot: number, length: number): void {
    this.#changes += 1;
    this.layers.forEach(({ lengths, reached }) => {
      lengths[slot] = length;
      reached[slot] = Math.max(0, length);
    });
  }

  /** The rings of a slot in a layer: their first entries of the session's page table, their pages and window slots. */
  #ringsOf({ tables, firstEntry }: LayerLayout, slot: number): readonly { readonly kvHead: number; readonly entry: number; readonly pages: number; readonly window: number }[] {
    return tables.unitsOf(slot).map(({ kvHead, tableOffset, pages, window }) => ({ kvHead, entry: firstEntry + tableOffset, pages, window }));
  }
}
