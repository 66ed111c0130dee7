/**
 * How many pages of the pool the sequences of a session hold, for a host that knows their lengths and forks but not their page tables:
 * pages are taken, shared, copied and given up on the device.
 *
 * A fork ends a stretch of a sequence's history and begins two. Stretches form trees, whose leaves are the sequences:
 *
 *     1000 tokens, fork, 50 tokens in one sequence, 300 in the other       [0, 1000) -+- [1000, 1050)
 *                                                                                     +- [1000, 1300)
 *
 * A page belongs to the stretch in which it was last written. A sequence that has written a page is its only holder, so a stretch has at
 * most one page for each page of a ring that its tokens lie in. A page of a stretch that has ended is held as long as one of the
 * sequences after it has neither written it again nor given it up. When a sequence ends, the stretch before its last fork and the one
 * that is left after it become one, so that trees do not grow with the forks that there were.
 */
import { invariant } from '../util/invariant.ts';
import type { PageCounts } from './pageCounts.ts';

/** What a sequence did between two forks, in tokens. */
interface Stretch {
  /** The first token that was written; Infinity where none was. */
  readonly from: number;
  /** Where the tokens that were written end, with those taken back since; 0 where none was. */
  readonly reached: number;
  /** Of the sequence: now, or at the fork that ended the stretch. */
  readonly length: number;
  /** The shortest that the sequence was in the stretch: it gave up the pages behind. */
  readonly low: number;
}

/** A stretch and all after it, as the stretches before it see them. */
interface Branch {
  /** Every sequence in it has written the tokens up to here; all but one up to `nextReached`, Infinity where there is but one. */
  readonly reached: number;
  readonly nextReached: number;
  /** Every sequence in it was this short or shorter; all but one `nextLow`, -1 where there is but one. */
  readonly low: number;
  readonly nextLow: number;
  /** Pages that belong to its stretches. At most. */
  readonly own: number;
  /** Pages that its sequences hold, also of stretches before it. At most. */
  readonly held: number;
}

interface Node {
  readonly tree: Tree;
  /** Of the sequence; -1 of a stretch that has ended. */
  slot: number;
  stretch: Stretch;
  parent: Node | undefined;
  /** Of a stretch that has ended: two, or one that could not be joined with it. */
  children: readonly Node[];
  /** As of the last count of the tree. */
  branch: Branch;
  /** Of the only one of its tree: up to this length it holds as many pages as when it was counted. */
  evenTo: number;
}

/** Sequences that may share pages: those that were forked from one. */
interface Tree {
  readonly bound: number;
  /** Parents before their children. */
  nodes: Node[];
  /** Pages of the tree in the total of all. */
  pages: number;
}

const noTokens = (): number => 0;

/**
 * Pages held, shared and free, as upper bounds that follow from lengths and forks alone. They are exact
 * - while no sequence goes back behind the fork where its last stretch began;
 * - of a tree whose sequences share no page, such as a sequence whose partners have ended, whatever they shared before.
 *
 * Otherwise they may count pages that some sequences of a tree have written again and all others have given up. A tree never counts
 * more than its sequences would hold if they shared nothing.
 */
export class PageAccounts {
  readonly #counts: PageCounts;
  readonly #pages: number;
  readonly #leaves: (Node | undefined)[];
  /** Trees to be counted again. */
  readonly #changed = new Set<Tree>();
  #held = 0;

  /** @param pages of the pool */
  constructor(counts: PageCounts, pages: number, slots: number) {
    this.#counts = counts;
    this.#pages = pages;
    this.#leaves = Array.from({ length: slots }, () => undefined);
  }

  /** Pages that are held. At most. Only `advance` lets it rise. */
  get held(): number {
    for (const tree of this.#changed) {
      const pages = this.#count(tree, noTokens);
      this.#held += pages - tree.pages;
      tree.pages = pages;
      const [only, other] = tree.nodes;
      if (other === undefined) only!.evenTo = this.#counts.evenTo(tree.bound, only!.stretch.length);
    }
    this.#changed.clear();
    return this.#held;
  }

  /** Pages of the pool that are free. At least. */
  get free(): number {
    return this.#pages - this.held;
  }

  /** Pages that more than one sequence holds. At most; exact where `held` is. Takes time that grows with the slots. */
  get shared(): number {
    const trees = new Set(this.#leaves.flatMap((leaf) => leaf?.tree ?? []));
    return [...trees].reduce((sum, tree) => sum + this.#sharedIn(tree), 0);
  }

  /** Begins an empty sequence of at most `bound` tokens in a free slot. */
  add(slot: number, bound: number): void {
    invariant(this.#leaves[slot] === undefined, 'the slot is free');
    this.#addLeaf({ bound, nodes: [], pages: 0 }, slot, { from: Infinity, reached: 0, length: 0, low: 0 }, undefined);
  }

  /** Ends a slot's sequence. */
  remove(slot: number): void {
    const { tree } = this.#leafOf(slot);
    // With the leaf go the stretches that have nothing else after them.
    const gone = new Set<Node>();
    let parent: Node | undefined = this.#leafOf(slot);
    do {
      gone.add(parent);
      parent = parent.parent;
    } while (parent?.children.length === 1);
    this.#leaves[slot] = undefined;
    if (parent === undefined) {
      this.#changed.delete(tree);
      this.#held -= tree.pages;
      return;
    }
    const other = parent.children.find((child) => !gone.has(child))!;
    if (mayJoin(parent.stretch, other.stretch)) {
      parent.stretch = joined(parent.stretch, other.stretch);
      parent.slot = other.slot;
      parent.children = other.children;
      parent.evenTo = -1;
      for (const child of other.children) child.parent = parent;
      if (other.slot >= 0) this.#leaves[other.slot] = parent;
      gone.add(other);
    } else {
      parent.children = [other];
    }
    tree.nodes = tree.nodes.filter((node) => !gone.has(node));
    this.#changed.add(tree);
  }

  /** Begins a sequence in the free slot `to` that holds the pages of the one in `from`. `held` stays. */
  fork(from: number, to: number): void {
    invariant(this.#leaves[to] === undefined, 'the slot is free');
    const parent = this.#leafOf(from);
    const { tree, stretch: { length } } = parent;
    const begin = (slot: number): Node => this.#addLeaf(tree, slot, { from: Infinity, reached: 0, length, low: length }, parent);
    parent.slot = -1;
    parent.children = [begin(from), begin(to)];
  }

  /** A slot's sequence goes back to `length` tokens. */
  setLength(slot: number, length: number): void {
    const leaf = this.#leafOf(slot);
    const { tree, stretch } = leaf;
    invariant(length >= 0 && length <= stretch.length, 'a sequence goes back to a length that it had');
    if (length === 0) {
      // It holds no page, so it shares none.
      this.remove(slot);
      this.add(slot, tree.bound);
      return;
    }
    leaf.stretch = { ...stretch, length, low: Math.min(stretch.low, length) };
    leaf.evenTo = -1;
    this.#changed.add(tree);
  }

  /** A slot's sequence has `tokens` more. */
  advance(slot: number, tokens: number): void {
    const leaf = this.#leafOf(slot);
    leaf.stretch = written(leaf.stretch, tokens);
    invariant(leaf.stretch.length <= leaf.tree.bound, 'a sequence stays within its bound');
    if (!isEven(leaf, 0)) this.#changed.add(leaf.tree);
  }

  /**
   * By how much `held` would rise if each slot had so many more tokens; 0 for slots without a sequence. Nothing changes. Takes time that
   * grows with the sequences of the trees that come to another page or share some, and with the number of different rings.
   */
  neededFor(tokens: (slot: number) => number): number {
    const before = this.held;
    let after = before;
    const trees = new Set<Tree>();
    this.#leaves.forEach((leaf, slot) => {
      if (leaf === undefined) return;
      const added = tokens(slot);
      if (added > 0 && !isEven(leaf, added)) trees.add(leaf.tree);
    });
    for (const tree of trees) after += this.#count(tree, tokens) - tree.pages;
    return after - before;
  }

  /** Pages of a tree if its sequences had so many more tokens. At most. */
  #count({ bound, nodes }: Tree, tokens: (slot: number) => number): number {
    const counts = this.#counts;
    if (nodes.length === 1) {
      const { slot, stretch } = nodes[0]!;
      return counts.inUse(bound, stretch.length + tokens(slot));
    }
    for (let n = nodes.length - 1; n >= 0; n -= 1) {
      const node = nodes[n]!;
      if (node.children.length === 0) {
        const { from, reached, length, low } = written(node.stretch, tokens(node.slot));
        const own = counts.touched(bound, from, reached, length);
        node.branch = { reached, nextReached: Infinity, low, nextLow: -1, own, held: counts.inUse(bound, length) };
      } else {
        const { stretch } = node;
        const after = branchAfter(node.children);
        // Pages that the sequences hold were theirs at the fork, or belong to stretches after it.
        const atFork: Stretch = { ...stretch, from: 0, reached: stretch.length };
        const held = Math.min(after.held, after.own + this.#left(bound, atFork, after.reached, after.low));
        const own = Math.min(held, after.own + this.#left(bound, stretch, after.reached, after.low));
        node.branch = {
          reached: Math.max(stretch.reached, after.reached),
          nextReached: Math.max(stretch.reached, after.nextReached),
          low: Math.min(stretch.low, after.low),
          nextLow: Math.min(stretch.low, after.nextLow),
          own,
          held,
        };
      }
    }
    return nodes[0]!.branch.own;
  }

  /** Pages of a tree that more than one of its sequences holds. At most. */
  #sharedIn(tree: Tree): number {
    if (tree.nodes.length === 1) return 0;
    this.#count(tree, noTokens);
    let pages = 0;
    let held = 0;
    for (const { stretch, children, branch } of tree.nodes) {
      if (children.length === 0) {
        held += branch.held;
      } else {
        const { nextReached, nextLow } = branchAfter(children);
        pages += this.#left(tree.bound, stretch, nextReached, nextLow);
      }
    }
    return Math.min(pages, Math.floor(held / 2));
  }

  /**
   * Pages of a stretch that has ended, without those that hold a token of `length .. reached - 1`, which were written again, and those
   * that are not in use at length `low`, which were given up.
   */
  #left(bound: number, stretch: Stretch, reached: number, low: number): number {
    const { from, length } = stretch;
    const kept = Math.min(length, low);
    if (reached <= Math.max(from, length)) return this.#counts.touched(bound, from, stretch.reached, kept);
    // What was written in the stretch and after it is one range of tokens.
    const all = this.#counts.touched(bound, Math.min(from, length), Math.max(stretch.reached, reached), kept);
    return all - this.#counts.touched(bound, length, reached, kept);
  }

  #addLeaf(tree: Tree, slot: number, stretch: Stretch, parent: Node | undefined): Node {
    const branch: Branch = { reached: 0, nextReached: 0, low: 0, nextLow: 0, own: 0, held: 0 };
    const leaf: Node = { tree, slot, stretch, parent, children: [], branch, evenTo: -1 };
    tree.nodes.push(leaf);
    this.#leaves[slot] = leaf;
    this.#changed.add(tree);
    return leaf;
  }

  #leafOf(slot: number): Node {
    const leaf = this.#leaves[slot];
    invariant(leaf !== undefined, 'the slot holds a sequence');
    return leaf;
  }
}

/** Whether a sequence that shares no page holds with `tokens` more as many pages as were counted. */
const isEven = ({ tree, stretch, evenTo }: Node, tokens: number): boolean => tree.nodes.length === 1 && stretch.length + tokens <= evenTo;

/** A stretch with `tokens` more. */
function written(stretch: Stretch, tokens: number): Stretch {
  if (tokens === 0) return stretch;
  const { from, reached, length, low } = stretch;
  return { from: Math.min(from, length), reached: Math.max(reached, length + tokens), length: length + tokens, low };
}

/** Whether the tokens of two stretches are one range: the second may go back behind the first, and stay there. */
function mayJoin(first: Stretch, second: Stretch): boolean {
  return first.from === Infinity || second.from === Infinity || second.reached >= first.from;
}

/** Two stretches, one after the other, as one. For a page of a ring, the sequences after both hold at most one page of the two. */
const joined = (first: Stretch, second: Stretch): Stretch => ({
  from: Math.min(first.from, second.from),
  reached: Math.max(first.reached, second.reached),
  length: second.length,
  low: Math.min(first.low, second.low),
});

/** The branches after a stretch, as one. */
function branchAfter([first, second]: readonly Node[]): Branch {
  const a = first!.branch;
  if (second === undefined) return a;
  const b = second.branch;
  return {
    reached: Math.min(a.reached, b.reached),
    nextReached: Math.min(Math.max(a.reached, b.reached), a.nextReached, b.nextReached),
    low: Math.max(a.low, b.low),
    nextLow: Math.max(Math.min(a.low, b.low), a.nextLow, b.nextLow),
    own: a.own + b.own,
    held: a.held + b.held,
  };
}
