/** Page counts against rings walked token by token, and page accounts against the model of the pool: test/spec/pageModel.ts. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { add, constant, divide, lengthBound, max, min, multiply, roundUp, type Expression } from '../../src/ir/affine.ts';
import { PageAccounts } from '../../src/runtime/pageAccounts.ts';
import { PageCounts, type PagedPlan } from '../../src/runtime/pageCounts.ts';
import { randomOf } from '../random.ts';
import { PageModel } from '../spec/pageModel.ts';

/** A layer's sink, and its ring groups: how many KV heads, and their span. */
interface LayerSpec {
  readonly sink: number;
  readonly groups: readonly { readonly kvHeads: number; readonly span: Expression }[];
}

/** What page counts read of a plan. */
function planOf(specs: readonly LayerSpec[]): PagedPlan {
  const expressions: Expression[] = [];
  const layers = specs.map(({ sink, groups }) => {
    let next = 0;
    const rings = groups.map(({ kvHeads, span }) => {
      const heads = Array.from({ length: kvHeads }, () => next++);
      // Nothing here reads the number of pages.
      expressions.push(span);
      return { kvHeads: heads, rules: [], span: expressions.length - 1, pages: expressions.length - 1 };
    });
    return { modelWindow: null, sink, heads: [], rings };
  });
  return { layout: { pageTokens: 64, pageBytes: 64, cacheType: 'element' }, layers, expressions };
}

const allLayers = ({ layers }: PagedPlan): number[] => [...layers.keys()];
const wholePages = roundUp(lengthBound, 64);

/** Spans of more than `sink` tokens: constant ones, the whole sequence, parts of it, with and without slack. */
const arbitrarySpan = (sink: number): fc.Arbitrary<Expression> => {
  const atLeast = (span: Expression): Expression => max(span, constant(sink + 64));
  return fc.oneof(
    fc.integer({ min: 1, max: 400 }).map((window) => constant(sink + window)),
    fc.constantFrom(128, 192, 256).map((span) => constant(Math.max(span, sink + 64))),
    fc.constant(atLeast(wholePages)),
    fc.integer({ min: 1, max: 3 }).map((part) => atLeast(multiply(divide(roundUp(lengthBound, 256), 4), part))),
    fc.integer({ min: 1, max: 100 }).map((slack) => min(add(constant(sink + 64), constant(slack)), atLeast(wholePages))),
  );
};

const arbitraryLayer: fc.Arbitrary<LayerSpec> = fc.constantFrom(0, 4, 64, 100).chain((sink) =>
  fc.record({
    sink: fc.constant(sink),
    groups: fc.array(fc.record({ kvHeads: fc.integer({ min: 1, max: 2 }), span: arbitrarySpan(sink) }), { minLength: 1, maxLength: 2 }),
  }),
);

/** A plan, and the layers of it that a session serves. */
interface SessionOfPlan {
  readonly plan: PagedPlan;
  readonly layers: readonly number[];
}

const arbitrarySession: fc.Arbitrary<SessionOfPlan> = fc
  .array(arbitraryLayer, { minLength: 1, maxLength: 3 })
  .chain((specs) => {
    const plan = planOf(specs);
    return fc.record({ plan: fc.constant(plan), layers: fc.subarray(allLayers(plan), { minLength: 1 }) });
  });

const arbitraryBound = fc.oneof(fc.integer({ min: 1, max: 900 }), fc.integer({ min: 1, max: 14 }).map((pages) => pages * 64));

describe('PageCounts', () => {
  /** Pages that tokens lie in, ring by ring and token by token. */
  function walk({ plan, layers }: SessionOfPlan, bound: number, from: number, to: number): Set<string> {
    const model = new PageModel(plan, layers, 0, 1);
    model.add(0, bound);
    const found = new Set<string>();
    model.sequenceOf(0).rings.forEach((ring, index) => {
      for (let position = from; position < to; position += 1) found.add(`${index} ${model.pageOf(model.ringIndexOf(ring, position))}`);
    });
    return found;
  }

  test('are what a walk over the rings counts, however often tokens go round them', () => {
    const ranges = fc.record({ from: fc.nat(2000), more: fc.oneof(fc.nat(140), fc.nat(1500)), length: fc.nat(2000) });
    fc.assert(
      fc.property(arbitrarySession, arbitraryBound, ranges, (session, bound, { from, more, length }) => {
        const counts = new PageCounts(session.plan, session.layers);
        const touched = walk(session, bound, from, from + more);
        const inUse = walk(session, bound, 0, length);
        expect(counts.inUse(bound, length)).toBe(inUse.size);
        expect(counts.touched(bound, from, from + more)).toBe(touched.size);
        expect(counts.touched(bound, from, from + more, length)).toBe([...touched].filter((page) => inUse.has(page)).length);
        expect(counts.most(bound)).toBe(walk(session, bound, 0, bound).size);
      }),
      { numRuns: 1000 },
    );
  });

  test.each([0, 4, 64, 100])('are right for every range of a few short rings behind a sink of %i', (sink) => {
    const spans = [1, 63, 64, 65, 130].map((window) => ({ kvHeads: 1, span: constant(sink + window) }));
    const session = { plan: planOf([{ sink, groups: spans }]), layers: [0] };
    const counts = new PageCounts(session.plan, session.layers);
    const wrong: string[] = [];
    for (let from = 0; from < 330; from += 1) {
      for (let to = from; to < 330; to += to - from < 3 ? 1 : 11) {
        if (counts.touched(1000, from, to) !== walk(session, 1000, from, to).size) wrong.push(`${from} .. ${to}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  test('are exact far out, where no walk goes', () => {
    const groups = [{ kvHeads: 8, span: constant(100 + 1000) }, { kvHeads: 3, span: wholePages }];
    const counts = new PageCounts(planOf([{ sink: 100, groups }]), [0]);
    const bound = 2 ** 40;
    expect(counts.inUse(bound, 0)).toBe(0);
    // The sink's 2 pages and 16 of the window; in the dense ring the sink's, and those of all tokens behind it.
    expect(counts.most(bound)).toBe(8 * 18 + 3 * (2 + Math.ceil((bound - 100) / 64)));
    // The first token of the window, after many rounds.
    expect(counts.touched(bound, 100 + 1000 * 2 ** 28, 101 + 1000 * 2 ** 28)).toBe(11);
    expect(counts.touched(bound, 99 + 1000 * 2 ** 28, 101 + 1000 * 2 ** 28)).toBe(8 * 2 + 3 * (1 + Number((1000 * 2 ** 28) % 64 === 0)));
  });
});

/** Slots chosen among those that hold a sequence, or those that do not, by any number. */
type Operation =
  | { readonly kind: 'add'; readonly choice: number; readonly bound: number }
  | { readonly kind: 'remove' | 'reset'; readonly choice: number }
  | { readonly kind: 'fork'; readonly choice: number; readonly to: number }
  | { readonly kind: 'truncate'; readonly choice: number; readonly back: number }
  | { readonly kind: 'write'; readonly tokens: readonly number[] };

const choice = fc.nat(1000);
const of = <Kind extends string>(kind: Kind): fc.Arbitrary<Kind> => fc.constant(kind);
const back = fc.oneof(fc.constant(1), fc.nat(100), fc.nat(900));
/** Of the slots in turn. */
const tokensOfSlots = fc.array(fc.oneof(fc.constant(0), fc.constant(1), fc.nat(70), fc.nat(600)), { minLength: 1, maxLength: 5 });
const arbitraryOperation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ kind: of('add'), choice, bound: arbitraryBound }) },
  { weight: 2, arbitrary: fc.record({ kind: of('remove'), choice }) },
  { weight: 1, arbitrary: fc.record({ kind: of('reset'), choice }) },
  { weight: 4, arbitrary: fc.record({ kind: of('fork'), choice, to: choice }) },
  { weight: 3, arbitrary: fc.record({ kind: of('truncate'), choice, back }) },
  { weight: 8, arbitrary: fc.record({ kind: of('write'), tokens: tokensOfSlots }) },
);

interface History {
  readonly session: SessionOfPlan;
  readonly slots: number;
  readonly pages: number;
  readonly operations: readonly Operation[];
}

const arbitraryHistory: fc.Arbitrary<History> = fc.record({
  session: arbitrarySession,
  slots: fc.integer({ min: 1, max: 7 }),
  pages: fc.oneof(fc.integer({ min: 1, max: 400 }), fc.constant(2000)),
  operations: fc.array(arbitraryOperation, { minLength: 1, maxLength: 300, size: 'max' }),
});

/** How far sequences go back: anywhere, within what their rings still hold, or not behind their last fork. */
type GoingBack = 'anywhere' | 'whatRingsHold' | 'notBehindForks';

/** What happened in histories, summed up. */
interface Tally {
  steps: number;
  refused: number;
  /** Pages that the accounts have more than the model, after each operation, and pages of the model. */
  excess: number;
  held: number;
}

/** The accounts and the model of one session. */
class Both {
  readonly counts: PageCounts;
  readonly accounts: PageAccounts;
  readonly model: PageModel;
  /** By slot: the length at the last fork, and the most that the sequence had since its rings were empty. */
  readonly #forkedAt: number[] = [];
  readonly #reached: number[] = [];

  constructor(plan: PagedPlan, layers: readonly number[], pages: number, slots: number) {
    this.counts = new PageCounts(plan, layers);
    this.accounts = new PageAccounts(this.counts, pages, slots);
    this.model = new PageModel(plan, layers, pages, slots);
  }

  add(slot: number, bound: number): void {
    this.accounts.add(slot, bound);
    this.model.add(slot, bound);
    this.#forkedAt[slot] = this.#reached[slot] = 0;
  }

  remove(slot: number): void {
    this.accounts.remove(slot);
    this.model.remove(slot);
  }

  fork(from: number, to: number): void {
    this.accounts.fork(from, to);
    this.model.fork(from, to);
    this.#forkedAt[from] = this.#forkedAt[to] = this.model.sequenceOf(from).length;
    this.#reached[to] = this.#reached[from]!;
  }

  setLength(slot: number, length: number): void {
    this.accounts.setLength(slot, length);
    this.model.truncate(slot, length);
    if (length === 0) this.#forkedAt[slot] = this.#reached[slot] = 0;
  }

  /** Writes tokens of each slot if the accounts admit it, and says whether they did. */
  step(tokens: (slot: number) => number): boolean {
    const { accounts, model } = this;
    const before = accounts.held;
    const needed = accounts.neededFor(tokens);
    expect(accounts.held, 'neededFor changes nothing').toBe(before);
    if (needed > accounts.free) return false;
    model.sequences.forEach((sequence, slot) => {
      if (sequence === undefined || tokens(slot) === 0) return;
      model.write(slot, tokens(slot));
      accounts.advance(slot, tokens(slot));
      this.#reached[slot] = Math.max(this.#reached[slot]!, sequence.length);
    });
    expect(accounts.held, 'neededFor is what is needed').toBe(before + needed);
    return true;
  }

  /** Where a slot's sequence can go back to from `length`. */
  lowest(slot: number, length: number, goingBack: GoingBack): number {
    if (goingBack === 'anywhere') return length;
    if (goingBack === 'notBehindForks') return Math.max(length, this.#forkedAt[slot]!);
    const sequence = this.model.sequenceOf(slot);
    // A window of half the ring: the other half is slack.
    const possible = sequence.rings.every(({ sink, window }) => {
      if (length <= sink || this.#reached[slot]! <= sink + window) return true;
      return this.#reached[slot]! - window <= Math.max(sink, length - Math.ceil(window / 2));
    });
    return possible ? length : sequence.length;
  }

  /** The accounts are no less than the model, and equal where they must be. */
  compare(exact: boolean, tally: Tally): void {
    const { accounts, model } = this;
    const held = accounts.held;
    expect(held, 'held').toBeGreaterThanOrEqual(model.held);
    expect(accounts.shared, 'shared').toBeGreaterThanOrEqual(model.shared);
    // Every entry of a page table, counted once.
    const alone = model.holders.reduce((sum, count) => sum + count, 0);
    expect(accounts.shared, 'shared').toBeLessThanOrEqual(alone / 2);
    if (exact || model.shared === 0) expect(held, 'held').toBe(model.held);
    if (exact) expect([accounts.shared, accounts.free], 'shared and free').toEqual([model.shared, model.free]);
    expect(accounts.free, 'free').toBeGreaterThanOrEqual(0);
    tally.excess += held - model.held;
    tally.held += model.held;
  }
}

function run({ session, slots, pages, operations }: History, goingBack: GoingBack, tally: Tally): void {
  const both = new Both(session.plan, session.layers, pages, slots);
  const { model, accounts } = both;
  const slotsWhere = (holding: boolean): number[] =>
    [...model.sequences.keys()].filter((slot) => (model.sequences[slot] !== undefined) === holding);
  const pick = (from: readonly number[], nth: number): number => from[nth % from.length]!;
  const apply = (operation: Operation): void => {
    const [held, free] = [slotsWhere(true), slotsWhere(false)];
    if (operation.kind === 'add') {
      if (free.length > 0) both.add(pick(free, operation.choice), operation.bound);
    } else if (held.length === 0) {
      // Nothing to do.
    } else if (operation.kind === 'write') {
      const tokens = model.sequences.map((sequence, slot) => {
        return sequence === undefined ? 0 : Math.min(operation.tokens[slot % operation.tokens.length]!, sequence.bound - sequence.length);
      });
      tally.steps += 1;
      if (!both.step((slot) => tokens[slot]!)) tally.refused += 1;
    } else {
      const slot = pick(held, operation.choice);
      const before = accounts.held;
      if (operation.kind === 'fork') {
        if (free.length > 0) both.fork(slot, pick(free, operation.to));
      } else if (operation.kind === 'truncate') {
        const length = Math.max(0, model.sequenceOf(slot).length - operation.back);
        both.setLength(slot, both.lowest(slot, length, goingBack));
      } else if (operation.kind === 'reset') both.setLength(slot, 0);
      else both.remove(slot);
      expect(accounts.held, 'only writes need pages').toBeLessThanOrEqual(before);
    }
  };
  operations.forEach((operation, n) => {
    apply(operation);
    both.compare(goingBack === 'notBehindForks', tally);
    if (n % 40 === 39) model.check();
  });
  model.check();
  slotsWhere(true).forEach((slot) => both.remove(slot));
  expect([accounts.held, accounts.shared, accounts.free]).toEqual([0, 0, pages]);
  model.check();
}

describe('PageAccounts', () => {
  const waysBack: readonly GoingBack[] = ['anywhere', 'whatRingsHold', 'notBehindForks'];
  test.each(waysBack)('count what the model holds, when sequences go back %s', (goingBack) => {
    const tally: Tally = { steps: 0, refused: 0, excess: 0, held: 0 };
    fc.assert(fc.property(arbitraryHistory, (history) => run(history, goingBack, tally)), { numRuns: 150 });
    // Both happen, and what is too much is little.
    expect(tally.steps - tally.refused).toBeGreaterThan(1000);
    expect(tally.refused).toBeGreaterThan(50);
    expect(tally.excess / tally.held).toBeLessThan(0.02);
  });

  /** Dense rings, rings of an eighth of the sequence, and short ones, some of them not whole pages. */
  const eighth = roundUp(divide(roundUp(lengthBound, 8), 8), 64);
  const spans = [max(wholePages, constant(128)), max(eighth, constant(128)), constant(1024), constant(300)];
  const plan = planOf([
    { sink: 64, groups: spans.map((span) => ({ kvHeads: 1, span })) },
    { sink: 100, groups: [{ kvHeads: 2, span: constant(640) }] },
    { sink: 0, groups: [{ kvHeads: 1, span: constant(1000) }] },
  ]);
  const begin = (pages: number, slots: number): Both => new Both(plan, allLayers(plan), pages, slots);
  const one = (slot: number, tokens: number) => (other: number): number => (other === slot ? tokens : 0);
  const all = (tokens: number) => (): number => tokens;

  describe.each([16384, 16411])('eight sequences of a prompt of %i tokens', (prompt) => {
    const forked = (slots: number): Both => {
      const both = begin(20_000, slots);
      both.add(0, 20_000);
      expect(both.step(one(0, prompt))).toBe(true);
      for (let slot = 1; slot < slots; slot += 1) both.fork(0, slot);
      expect(both.accounts.held).toBe(both.counts.inUse(20_000, prompt));
      expect(both.accounts.shared).toBe(both.accounts.held);
      return both;
    };
    const expectExact = ({ accounts, model }: Both): void => {
      expect([accounts.held, accounts.shared, accounts.free]).toEqual([model.held, model.shared, model.free]);
    };

    test('which stays, are counted exactly, after each token and each has 512', () => {
      const both = forked(9);
      for (let step = 0; step < 64; step += 1) {
        expect(both.step((slot) => (slot === 0 ? 0 : 8))).toBe(true);
        expectExact(both);
      }
      both.model.check();
      // Four rings go round, so most of what is shared is in the dense one.
      expect(both.accounts.held).toBeLessThan(0.4 * 9 * both.counts.inUse(20_000, prompt));
    });

    test('the prompt among them, are counted exactly, also when one ring after the other has been written again by all', () => {
      const both = forked(8);
      for (let step = 0; step < 8; step += 1) {
        expect(both.step(all(64))).toBe(true);
        expectExact(both);
      }
      expect(both.step((slot) => slot * 100)).toBe(true);
      expectExact(both);
      for (let slot = 0; slot < 7; slot += 1) {
        both.remove(slot);
        expectExact(both);
      }
      expect(both.accounts.held).toBe(both.counts.inUse(20_000, prompt + 512 + 700));
    });

    test('that go back a token behind their fork before they go on are counted to a hundredth', () => {
      const both = forked(9);
      for (let slot = 1; slot < 9; slot += 1) both.setLength(slot, prompt - 1);
      for (let step = 0; step < 64; step += 1) {
        expect(both.step((slot) => (slot === 0 ? 0 : 1 + ((slot + step) % 15)))).toBe(true);
        expect(both.accounts.held).toBeGreaterThanOrEqual(both.model.held);
        expect(both.accounts.held).toBeLessThanOrEqual(both.model.held * 1.01);
      }
      both.remove(0);
      expect(both.accounts.held).toBeLessThanOrEqual(both.model.held * 1.01);
      for (let slot = 1; slot < 8; slot += 1) both.remove(slot);
      expectExact(both);
    });
  });

  test.each([
    // Tokens that requests go back: one, or more than rings hold; by how much the accounts may be above the model.
    [1, 1],
    [400, 1.2],
  ])('do not drift while a thousand requests are forked from a prefix, go back up to %i tokens, and end', (most, factor) => {
    const random = randomOf(7);
    const upTo = (last: number): number => Math.floor(random() * (last + 1));
    const both = begin(3000, 4);
    const { accounts, model } = both;
    both.add(0, 4096);
    both.step(one(0, 1500));
    const prefix = accounts.held;
    for (let request = 0; request < 1000; request += 1) {
      const slot = 1 + (request % 3);
      // Up to three at a time, the oldest of which ends first. Some are forked from a request.
      if (model.sequences[slot] !== undefined) both.remove(slot);
      both.fork(request % 5 === 4 ? 1 + ((request - 1) % 3) : 0, slot);
      both.step(one(slot, upTo(300)));
      if (request % 3 === 0) both.setLength(slot, model.sequenceOf(slot).length - upTo(most));
      both.step(one(slot, upTo(80)));
      expect(accounts.held).toBeGreaterThanOrEqual(model.held);
      expect(accounts.held).toBeLessThanOrEqual(model.held * factor);
    }
    model.check();
    for (let slot = 1; slot < 4; slot += 1) both.remove(slot);
    expect([accounts.held, accounts.shared]).toEqual([prefix, 0]);
    both.remove(0);
    expect(accounts.held).toBe(0);
  });

  test('count a chain of forks of forks exactly, whatever ends first', () => {
    const depth = 24;
    for (const order of ['oldest', 'newest', 'middle']) {
      const both = begin(20_000, depth);
      const { accounts, model } = both;
      both.add(0, 8000);
      for (let slot = 0; slot < depth; slot += 1) {
        both.step(one(slot, 150));
        if (slot + 1 < depth) both.fork(slot, slot + 1);
        // Those before go on too.
        both.step((other) => (other <= slot && other % 3 === 0 ? 40 : 0));
        expect([accounts.held, accounts.shared]).toEqual([model.held, model.shared]);
      }
      model.check();
      const slots = [...model.sequences.keys()];
      for (let left = depth; left > 0; left -= 1) {
        const [slot] = slots.splice(order === 'oldest' ? 0 : order === 'newest' ? left - 1 : left >> 1, 1);
        both.remove(slot!);
        both.step((other) => (model.sequences[other] === undefined ? 0 : 1));
        expect([accounts.held, accounts.shared]).toEqual([model.held, model.shared]);
      }
    }
  });

  test('do not rise when a sequence ends that another went back far behind', () => {
    const both = new Both(planOf([{ sink: 0, groups: [{ kvHeads: 1, span: constant(256) }] }]), [0], 100, 4);
    const { accounts, model } = both;
    both.add(0, 1000);
    both.step(one(0, 600));
    both.fork(0, 1);
    both.step(one(1, 100));
    both.fork(1, 2);
    // The third page of the ring. The sequence before the fork wrote the second and third; neither wrote the others.
    both.setLength(2, 400);
    both.step(one(2, 20));
    expect([accounts.held, model.held]).toEqual([7, 7]);
    both.remove(1);
    // The third page of the one that ended counts still.
    expect([accounts.held, model.held]).toEqual([7, 6]);
    both.fork(2, 1);
    both.fork(1, 3);
    both.step((slot) => 300 * Number(slot === 3));
    for (const slot of [2, 3, 1]) {
      both.remove(slot);
      expect(accounts.held).toBeGreaterThanOrEqual(model.held);
    }
    expect([accounts.held, accounts.shared]).toEqual([4, 0]);
    model.check();
  });

  test('count what all sequences of a family gave up as free, but for a page of each ring', () => {
    const both = new Both(planOf([{ sink: 64, groups: [{ kvHeads: 5, span: wholePages }] }]), [0], 2000, 4);
    const { accounts, model } = both;
    both.add(0, 20_000);
    both.step(one(0, 10_000));
    for (const slot of [1, 2, 3]) both.fork(0, slot);
    for (const slot of [0, 1, 2, 3]) {
      both.setLength(slot, 2000);
      both.step(one(slot, 300));
    }
    const expectClose = (): void => {
      expect(accounts.held).toBeGreaterThanOrEqual(model.held);
      expect(accounts.held).toBeLessThanOrEqual(model.held + 5);
    };
    expectClose();
    both.remove(2);
    expectClose();
    // One that went back forks, and goes on alone.
    both.fork(1, 2);
    both.step(all(40));
    expectClose();
    both.remove(2);
    expectClose();
    both.step(all(200));
    both.remove(0);
    expectClose();
  });

  test('count sequences that go back to nothing, or begin anew, as such', () => {
    const both = begin(2000, 3);
    const { accounts, counts, model } = both;
    both.add(0, 3000);
    both.step(one(0, 2000));
    both.fork(0, 1);
    both.fork(1, 2);
    both.setLength(0, 0);
    both.setLength(1, 0);
    expect([accounts.held, accounts.shared]).toEqual([counts.inUse(3000, 2000), 0]);
    both.step((slot) => (slot === 0 ? 700 : 0));
    expect(accounts.held).toBe(counts.inUse(3000, 2000) + counts.inUse(3000, 700));
    expect(accounts.held).toBe(model.held);
  });

  test('need nothing for pages that are there, and say when a pool is too small for copies', () => {
    const both = new Both(planOf([{ sink: 0, groups: [{ kvHeads: 2, span: constant(128) }] }]), [0], 5, 2);
    both.add(0, 1000);
    both.step(one(0, 127));
    both.fork(0, 1);
    // One of the two copies its last page in each ring; the other keeps it.
    expect(both.accounts.neededFor(all(1))).toBe(2);
    expect(both.step(all(1))).toBe(false);
    expect(both.step(one(0, 0))).toBe(true);
    both.remove(1);
    expect(both.accounts.neededFor(all(500))).toBe(0);
    expect(both.step(all(500))).toBe(true);
  });

  test('refuse what a session never asks for', () => {
    const { accounts } = begin(10, 2);
    accounts.add(0, 100);
    expect(() => accounts.add(0, 100)).toThrow('internal error: the slot is free');
    expect(() => accounts.fork(0, 0)).toThrow('internal error: the slot is free');
    expect(() => accounts.remove(1)).toThrow('internal error: the slot holds a sequence');
    expect(() => accounts.setLength(0, 1)).toThrow('internal error: a sequence goes back');
    expect(() => accounts.advance(0, 101)).toThrow('internal error: a sequence stays within its bound');
  });
});
