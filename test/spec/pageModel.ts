/**
 * The specification of shared pages, page by page: one pool for the rings of all sequences, page tables, counts of holders, and what is
 * written in each row. Every rule is followed token by token; nothing is computed from lengths.
 */
import { evaluate } from '../../src/ir/affine.ts';
import type { PlanDefinition } from '../../src/ir/planDefinition.ts';

/** A token as it was written once. Rows that hold the same object hold the same keys and values. */
export interface Written {
  /** The slot that wrote it. */
  readonly slot: number;
  readonly position: number;
}

/** The ring of a KV head of a layer, of one sequence. */
export interface ModelRing {
  readonly layer: number;
  readonly kvHead: number;
  readonly sink: number;
  /** Tokens behind the sink that the ring keeps. */
  readonly window: number;
  /** The page table: a page of the pool for each page in use, from the first on. */
  readonly pages: number[];
  /** What lies at each ring index if the ring shares nothing. */
  readonly alone: Written[];
}

interface ModelSequence {
  readonly bound: number;
  readonly rings: readonly ModelRing[];
  length: number;
}

export class PageModel {
  /** How many page tables each page of the pool is in. */
  readonly holders: number[];
  readonly sequences: (ModelSequence | undefined)[];
  readonly #plan: Pick<PlanDefinition, 'layout' | 'layers' | 'expressions'>;
  readonly #layers: readonly number[];
  readonly #freeList: number[];
  /** `[page][row]`. */
  readonly #rows: Written[][];

  /** @param layers the session's, by their numbers in the plan */
  constructor(plan: Pick<PlanDefinition, 'layout' | 'layers' | 'expressions'>, layers: readonly number[], pages: number, slots: number) {
    this.#plan = plan;
    this.#layers = layers;
    this.holders = Array.from({ length: pages }, () => 0);
    this.#freeList = Array.from({ length: pages }, (_, page) => page);
    this.#rows = Array.from({ length: pages }, () => []);
    this.sequences = Array.from({ length: slots }, () => undefined);
  }

  /** Pages in at least one page table. */
  get held(): number {
    return this.holders.filter((count) => count > 0).length;
  }

  /** Pages in more than one. */
  get shared(): number {
    return this.holders.filter((count) => count > 1).length;
  }

  get free(): number {
    return this.#freeList.length;
  }

  add(slot: number, bound: number): void {
    const { layers, expressions } = this.#plan;
    const rings = this.#layers.flatMap((layer) =>
      layers[layer]!.rings.flatMap(({ kvHeads, span }) => {
        const { sink } = layers[layer]!;
        const window = evaluate(expressions[span]!, { N: bound }) - sink;
        return kvHeads.map((kvHead): ModelRing => ({ layer, kvHead, sink, window, pages: [], alone: [] }));
      }),
    );
    this.sequences[slot] = { bound, rings, length: 0 };
  }

  remove(slot: number): void {
    this.truncate(slot, 0);
    this.sequences[slot] = undefined;
  }

  /** Shares every page. */
  fork(from: number, to: number): void {
    const { bound, length, rings } = this.sequenceOf(from);
    for (const page of rings.flatMap(({ pages }) => pages)) this.holders[page]! += 1;
    this.sequences[to] = { bound, length, rings: rings.map((ring) => ({ ...ring, pages: [...ring.pages], alone: [...ring.alone] })) };
  }

  /** Throws when the pool has no page left. */
  write(slot: number, tokens: number): void {
    const sequence = this.sequenceOf(slot);
    for (let n = 0; n < tokens; n += 1) {
      const token: Written = { slot, position: sequence.length };
      for (const ring of sequence.rings) {
        const at = this.ringIndexOf(ring, token.position);
        const page = this.pageOf(at);
        this.#own(ring, page);
        this.#rows[ring.pages[page]!]![at % this.#plan.layout.pageTokens] = token;
        ring.alone[at] = token;
      }
      sequence.length += 1;
    }
  }

  /** Pages that `tokens` more would take of a sequence that shares none. */
  neededAlone(slot: number, tokens: number): number {
    const { rings, length } = this.sequenceOf(slot);
    return rings.reduce((sum, ring) => sum + this.pagesInUse(ring, length + tokens) - this.pagesInUse(ring, length), 0);
  }

  /** Gives up the pages behind those in use at `length`. */
  truncate(slot: number, length: number): void {
    const sequence = this.sequenceOf(slot);
    for (const ring of sequence.rings) {
      const kept = this.pagesInUse(ring, length);
      for (const page of ring.pages.splice(kept)) this.#giveUp(page);
    }
    sequence.length = length;
  }

  /** The row of the pool that holds what a sequence reads at `position`: the token there, or one that went round the ring since. */
  read(ring: ModelRing, position: number): Written | undefined {
    const at = this.ringIndexOf(ring, position);
    return this.#rows[ring.pages[this.pageOf(at)]!]![at % this.#plan.layout.pageTokens];
  }

  sequenceOf(slot: number): ModelSequence {
    const sequence = this.sequences[slot];
    if (sequence === undefined) throw new Error(`slot ${slot} holds no sequence`);
    return sequence;
  }

  /** The ring index of the token at `position`. */
  ringIndexOf({ sink, window }: ModelRing, position: number): number {
    const { pageTokens } = this.#plan.layout;
    return position < sink ? position : Math.ceil(sink / pageTokens) * pageTokens + ((position - sink) % window);
  }

  /** The page of a ring in which a ring index lies. */
  pageOf(ringIndex: number): number {
    return Math.floor(ringIndex / this.#plan.layout.pageTokens);
  }

  /** Pages of a ring from the first to the last in which one of `length` tokens lies. */
  pagesInUse(ring: ModelRing, length: number): number {
    let pages = 0;
    // Once round the ring, no page is new.
    for (let position = 0; position < Math.min(length, ring.sink + ring.window); position += 1) {
      pages = Math.max(pages, this.pageOf(this.ringIndexOf(ring, position)) + 1);
    }
    return pages;
  }

  /** Throws unless every page is either free or held by those that have it in their tables, and sequences read what they wrote. */
  check(): void {
    const found = this.holders.map(() => 0);
    /** Where in a sequence each page lies: the same in all that share it. */
    const placesOfPages = new Map<number, string>();
    this.sequences.forEach((sequence, slot) => {
      for (const ring of sequence?.rings ?? []) {
        const name = `KV head ${ring.kvHead} of layer ${ring.layer}`;
        expectSame(ring.pages.length, this.pagesInUse(ring, sequence!.length), `pages of ${name} in slot ${slot}`);
        ring.pages.forEach((page, index) => {
          found[page]! += 1;
          const place = `page ${index} of ${name}`;
          expectSame(placesOfPages.get(page) ?? place, place, `the place of page ${page}`);
          placesOfPages.set(page, place);
        });
        for (let position = 0; position < sequence!.length; position += 1) {
          const wanted = ring.alone[this.ringIndexOf(ring, position)];
          expectSame(this.read(ring, position), wanted, `token ${position} that slot ${slot} reads of ${name}`);
        }
      }
    });
    found.forEach((count, page) => expectSame(this.holders[page], count, `holders of page ${page}`));
    const free = this.holders.flatMap((count, page) => (count === 0 ? [page] : []));
    expectSame([...this.#freeList].sort((a, b) => a - b).join(), free.join(), 'the free list');
  }

  /** Before a write: a page that is not there is taken, and one with another holder is replaced by a copy. */
  #own(ring: ModelRing, index: number): void {
    const old = ring.pages[index];
    if (old !== undefined && this.holders[old] === 1) return;
    const page = this.#freeList.shift();
    if (page === undefined) throw new Error('the pool has no page left');
    this.holders[page] = 1;
    this.#rows[page] = old === undefined ? [] : [...this.#rows[old]!];
    ring.pages[index] = page;
    if (old !== undefined) this.#giveUp(old);
  }

  #giveUp(page: number): void {
    this.holders[page]! -= 1;
    if (this.holders[page] === 0) this.#freeList.push(page);
  }
}

function expectSame(found: unknown, wanted: unknown, what: string): void {
  if (found !== wanted) throw new Error(`${what}: ${JSON.stringify(found)}, not ${JSON.stringify(wanted)}`);
}
