/**
 * What the host knows of a session's sequences: who holds a slot, of what length bound, and how many tokens each layer has of it. It plans nothing, and walks no
 * rings: pages and tables are the device's.
 */
import { describeValue } from '../util/describeValue.ts';
import { Memo } from '../util/memo.ts';
import type { PageAccounts } from './pageAccounts.ts';
import { sessionError } from './sessionChecks.ts';
import { cachedBounds, windowsOfRings, type LayerClass, type SessionLayout } from './sessionLayout.ts';

/** New tokens of each slot: as many of every sequence, or a number for each slot. */
export type AddedTokens = number | Int32Array;

/**
 * Lengths that some layers have. Layers that are in step have the same object, and go from it to the same next one: what is found for the first layer of a
 * step holds for all.
 */
export class Lengths {
  /** Tokens by slot, -1 for a slot without a sequence, as on the device. */
  readonly tokens: Int32Array;
  /** The most that each sequence had since its rings went round: what a ring has lost follows from that, not from the length after a truncation. */
  readonly reached: Int32Array;
  /** A slot whose sequence would be longer than its bound; -1 where there is none. */
  readonly tooLong: number;
  /** Whether the pages of all tokens have been counted (`Sequences.reserve`). */
  isReserved = false;
  /** What `after` made. Weak, or a layer that gets no tokens would hold all lengths that others ever had. */
  readonly #next = new Map<string, WeakRef<Lengths>>();

  constructor(tokens: Int32Array, reached: Int32Array, tooLong = -1) {
    this.tokens = tokens;
    this.reached = reached;
    this.tooLong = tooLong;
  }

  /** A name for new tokens. */
  static keyOf(added: AddedTokens): string {
    return typeof added === 'number' ? String(added) : added.join();
  }

  /** With so many more tokens. The same object for the same key, as long as somebody has it. */
  after(key: string, make: () => Lengths): Lengths {
    const known = this.#next.get(key)?.deref();
    if (known !== undefined) return known;
    if (this.#next.size >= mostKeys) this.#next.clear();
    const lengths = make();
    this.#next.set(key, new WeakRef(lengths));
    return lengths;
  }
}

/** Of new tokens, that lengths remember: steps that were refused leave some behind. */
const mostKeys = 8;

const areEqual = (a: Int32Array, b: Int32Array): boolean => a.every((value, slot) => value === b[slot]);
const areAlike = (a: Lengths, b: Lengths): boolean => areEqual(a.tokens, b.tokens) && areEqual(a.reached, b.reached);

/** What a ring keeps and what the query heads that read it attend, in tokens. */
interface Ring {
  readonly sink: number;
  readonly window: number;
  /** The longest window of a head. */
  readonly longest: number;
}

export class Sequences {
  /** Length bound of each slot's sequence; 0 for a free slot. */
  readonly bounds: Int32Array;
  readonly accounts: PageAccounts;
  /** By the layer's number among those of the session. */
  readonly #lengths: Lengths[];
  /** Tokens of each slot whose pages have been counted. */
  readonly #reserved: Int32Array;
  readonly #layout: SessionLayout;
  readonly #rings = new Memo<number, readonly Ring[]>(cachedBounds);
  #changes = 0;

  constructor(layout: SessionLayout, accounts: PageAccounts, slots: number) {
    this.#layout = layout;
    this.accounts = accounts;
    this.bounds = new Int32Array(slots);
    this.#reserved = new Int32Array(slots);
    const none = new Lengths(new Int32Array(slots).fill(-1), new Int32Array(slots));
    this.#lengths = layout.layers.map(() => none);
  }

  /** Another number after every change that is not a step's: what was found from lengths and bounds holds as long as it stays. */
  get changes(): number {
    return this.#changes;
  }

  get slots(): number {
    return this.bounds.length;
  }

  lengthsOf(layer: number): Lengths {
    return this.#lengths[layer]!;
  }

  isHeld(slot: number): boolean {
    return this.bounds[slot]! > 0;
  }

  /** Throws MOA6107 for a slot without a sequence. */
  checkHeld(slot: number): void {
    if (this.bounds[slot] === undefined) throw sessionError('noSuchSequence', `there is no slot ${describeValue(slot)}; the session has ${this.slots}`);
    if (!this.isHeld(slot)) throw sessionError('noSuchSequence', `slot ${slot} holds no sequence`);
  }

  /** Throws MOA6107 where tokens are for a slot without a sequence. */
  checkAdded(added: Int32Array): void {
    added.forEach((count, slot) => count > 0 && this.checkHeld(slot));
  }

  /** The first slot that holds no sequence. Throws MOA6108 when all do. */
  firstFree(): number {
    const slot = this.bounds.indexOf(0);
    if (slot < 0) throw sessionError('noFreeSlot', `all ${this.bounds.length} slots hold a sequence`);
    return slot;
  }

  /** Begins an empty sequence of at most `bound` tokens in a free slot. */
  add(slot: number, bound: number): void {
    this.accounts.add(slot, bound);
    this.bounds[slot] = bound;
    this.#set(slot, 0);
  }

  /** Ends a slot's sequence. */
  remove(slot: number): void {
    this.accounts.remove(slot);
    this.bounds[slot] = 0;
    this.#set(slot, -1);
  }

  /** Throws MOA6114 where some layers have tokens of a slot that others have not: their pages would be shared before they are written. */
  checkBetweenSteps(slot: number): void {
    const layer = this.#lengths.findIndex(({ tokens }) => tokens[slot] !== this.#reserved[slot]);
    if (layer < 0) return;
    const message = `sequence ${slot} has ${this.#lengths[layer]!.tokens[slot]} tokens in layer ${this.#layout.layers[layer]!.layer}, and pages for ${this.#reserved[slot]}: a step is under way`;
    throw sessionError('inStep', message);
  }

  /** Makes the free slot `to` what `from` is. */
  fork(from: number, to: number): void {
    this.accounts.fork(from, to);
    this.bounds[to] = this.bounds[from]!;
    this.#reserved[to] = this.#reserved[from]!;
    this.#change(({ tokens, reached }) => {
      tokens[to] = tokens[from]!;
      reached[to] = reached[from]!;
    });
  }

  /** Takes back the tokens from `length` on. Throws MOA6110, and changes nothing, when a ring has lost tokens that the next one attends. */
  truncate(slot: number, length: number): void {
    const wrapped = this.#wrappedInStep(slot, length) ?? this.#checkKept(slot, length);
    this.accounts.setLength(slot, length);
    this.#reserved[slot] = length;
    this.#change((next, before) => {
      next.tokens[slot] = length;
      // Of a sequence that no ring has gone round for, nothing is lost; what lies behind its end is written anew before it is read.
      if (!wrapped.has(before)) next.reached[slot] = length;
    });
  }

  /** Which lengths are of rings that have gone round, of layers that are in step and have lost no token that counts; undefined where that is not so. */
  #wrappedInStep(slot: number, length: number): ReadonlySet<Lengths> | undefined {
    const lengths = this.#lengths[0];
    if (lengths === undefined || length > lengths.tokens[slot]! || this.#lengths.some((other) => other !== lengths)) return undefined;
    const reached = lengths.reached[slot]!;
    let hasWrapped = false;
    for (const { sink, window, longest } of this.#ringsOf(this.bounds[slot]!)) {
      const kept = reached - window;
      if (length <= sink || kept <= sink) continue;
      if (kept > Math.max(sink, length - longest + 1)) return undefined;
      hasWrapped = true;
    }
    return hasWrapped ? new Set([lengths]) : new Set();
  }

  /** The different rings of all layers, for sequences of this length bound. */
  #ringsOf(bound: number): readonly Ring[] {
    return this.#rings.get(bound, () => {
      const all = this.#layout.classes.flatMap((layerClass) =>
        windowsOfRings(layerClass, bound).map(({ window, longest }): Ring => ({ sink: layerClass.sink, window, longest })));
      return [...new Map(all.map((ring) => [Object.values(ring).join(), ring])).values()];
    });
  }

  /** Throws MOA6110 where a layer has lost a token that the one after a truncation attends. Returns the lengths of layers with rings that have gone round. */
  #checkKept(slot: number, length: number): ReadonlySet<Lengths> {
    const bound = this.bounds[slot]!;
    // Layers of one class that are in step are alike.
    const alike = new Map<LayerClass, Set<Lengths>>();
    const wrapped = new Set<Lengths>();
    this.#layout.layers.forEach(({ layer, layerClass }, index) => {
      const lengths = this.#lengths[index]!;
      let seen = alike.get(layerClass);
      if (seen === undefined) alike.set(layerClass, (seen = new Set()));
      if (seen.has(lengths)) return;
      seen.add(lengths);
      const [held, reached] = [lengths.tokens[slot]!, lengths.reached[slot]!];
      if (length > held) throw sessionError('cannotTruncate', `sequence ${slot} has ${held} tokens in layer ${layer}, fewer than ${length}`);
      const { sink } = layerClass;
      if (length <= sink) return;
      for (const { kvHeads, window, longest } of windowsOfRings(layerClass, bound)) {
        const kept = reached - window;
        if (kept > sink) wrapped.add(lengths);
        const needed = Math.max(sink, length - longest + 1);
        if (kept <= needed) continue;
        const behind = sink === 0 ? '' : 'behind the sink, ';
        const message = `sequence ${slot} cannot go back from ${held} to ${length} tokens: ${behind}the ring of KV head ${kvHeads[0]} in layer ${layer} begins with token ${kept}, and token ${length} attends from ${needed} on`;
        throw sessionError('cannotTruncate', message);
      }
    });
    return wrapped;
  }

  /** Says that every sequence has `length` tokens in all layers. */
  fillAll(length: number): void {
    for (let slot = 0; slot < this.slots; slot += 1) {
      if (!this.isHeld(slot)) continue;
      this.accounts.setLength(slot, 0);
      if (length > 0) this.accounts.advance(slot, length);
      this.#reserved[slot] = length;
    }
    this.#change(({ tokens, reached }) => {
      for (let slot = 0; slot < this.slots; slot += 1) if (this.isHeld(slot)) tokens[slot] = reached[slot] = length;
    });
  }

  /** The lengths that sequences have after so many more tokens behind `from`. Nothing changes, and nothing is checked: `commit` says that they came. */
  after(from: Lengths, added: AddedTokens, key = Lengths.keyOf(added)): Lengths {
    return from.after(key, () => {
      const tokens = from.tokens.slice();
      const reached = from.reached.slice();
      let tooLong = -1;
      for (let slot = 0; slot < this.slots; slot += 1) {
        const bound = this.bounds[slot]!;
        if (bound === 0) continue;
        tokens[slot]! += typeof added === 'number' ? added : added[slot]!;
        reached[slot] = Math.max(reached[slot]!, tokens[slot]!);
        if (tooLong < 0 && tokens[slot]! > bound) tooLong = slot;
      }
      return new Lengths(tokens, reached, tooLong);
    });
  }

  /** Throws MOA6101 where a sequence of `layer` would pass its length bound. */
  checkRoom(layer: number, { tokens, tooLong }: Lengths): void {
    if (tooLong < 0) return;
    const held = this.#lengths[layer]!.tokens[tooLong]!;
    const message = `sequence ${tooLong} holds ${held} of at most ${this.bounds[tooLong]} tokens in layer ${this.#layout.layers[layer]!.layer}; ${tokens[tooLong]! - held} more do not fit`;
    throw sessionError('sequenceFull', message);
  }

  /** Throws MOA6109 where the pool may have too few pages for sequences of these lengths, each as long as the longest of them. Nothing changes. */
  checkPages(all: readonly Lengths[]): void {
    if (all.every(({ isReserved }) => isReserved)) return;
    const needed = this.accounts.neededFor((slot) => this.#beyondReserved(all, slot));
    if (needed > 0 && needed > this.accounts.free) {
      throw sessionError('poolFull', `the new tokens need ${needed} pages, and ${this.accounts.free} of the pool are free`);
    }
  }

  /** Counts the pages of sequences of these lengths as held: the launches that follow take them. */
  reserve(all: readonly Lengths[]): void {
    if (all.every(({ isReserved }) => isReserved)) return;
    for (let slot = 0; slot < this.slots; slot += 1) {
      const tokens = this.#beyondReserved(all, slot);
      if (tokens === 0) continue;
      this.accounts.advance(slot, tokens);
      this.#reserved[slot]! += tokens;
    }
    for (const lengths of all) lengths.isReserved = true;
  }

  /** Whether two layers have equal lengths. */
  areInStep(layer: number, other: number): boolean {
    return this.#differingSlot(layer, other) < 0;
  }

  /** The first slot whose sequence is not as long in the one layer as in the other; -1 where there is none. */
  #differingSlot(layer: number, other: number): number {
    const [own, others] = [this.#lengths[layer]!, this.#lengths[other]!];
    return own === others ? -1 : own.tokens.findIndex((tokens, slot) => tokens !== others.tokens[slot]);
  }

  /** Gives layers of equal lengths the same object. Throws where they differ. */
  bringInStep(layer: number, other: number): void {
    const [own, others] = [this.#lengths[layer]!, this.#lengths[other]!];
    if (own === others) return;
    const differs = this.#differingSlot(layer, other);
    if (differs >= 0) {
      const [a, b] = [this.#layout.layers[other]!.layer, this.#layout.layers[layer]!.layer];
      throw sessionError('capture', `the graph decodes layers ${a} and ${b} in one step, and sequence ${differs} has ${others.tokens[differs]} tokens in the one and ${own.tokens[differs]} in the other`);
    }
    if (areEqual(own.reached, others.reached)) this.#lengths[layer] = others;
  }

  /** Sequences of `layer` have these lengths now. */
  commit(layer: number, lengths: Lengths): void {
    this.#lengths[layer] = lengths;
  }

  /** Tokens of a slot that have no pages yet. */
  #beyondReserved(all: readonly Lengths[], slot: number): number {
    let most = this.#reserved[slot]!;
    for (const { tokens } of all) most = Math.max(most, tokens[slot]!);
    return most - this.#reserved[slot]!;
  }

  #set(slot: number, length: number): void {
    this.#reserved[slot] = Math.max(0, length);
    this.#change(({ tokens, reached }) => {
      tokens[slot] = length;
      reached[slot] = Math.max(0, length);
    });
  }

  /** Layers that were in step stay so, and those that are alike now are in step. */
  #change(edit: (next: Lengths, before: Lengths) => void): void {
    this.#changes += 1;
    const changed = new Map<Lengths, Lengths>();
    this.#lengths.forEach((lengths, layer) => {
      let next = changed.get(lengths);
      if (next === undefined) {
        const made = new Lengths(lengths.tokens.slice(), lengths.reached.slice());
        edit(made, lengths);
        next = [...changed.values()].find((other) => areAlike(other, made)) ?? made;
        changed.set(lengths, next);
      }
      this.#lengths[layer] = next;
    });
  }
}
