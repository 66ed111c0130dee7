import { evaluate, windowOf } from '../ir/affine.ts';
import type { LayerDefinition, PlanDefinition } from '../ir/planDefinition.ts';
import type { RingUnit } from '../passes/schedule/decodeSegments.ts';

/** Windows and pages of all rules and rings at one length bound. */
interface PlanAt {
  /** Of each rule, in tokens. */
  readonly windows: readonly number[];
  /** Of each expression. */
  readonly values: readonly number[];
}

/** Evaluates a plan at length bounds, each once. */
export class PlanAtBounds {
  readonly plan: PlanDefinition;
  readonly #known = new Map<number, PlanAt>();

  constructor(plan: PlanDefinition) {
    this.plan = plan;
  }

  at(bound: number): PlanAt {
    let found = this.#known.get(bound);
    if (found === undefined) {
      const { rules, limits, expressions } = this.plan;
      found = { windows: rules.map((rule) => windowOf(rule, limits, bound)), values: expressions.map((expression) => evaluate(expression, { N: bound })) };
      this.#known.set(bound, found);
    }
    return found;
  }
}

/**
 * What the launches of a layer read of its sequences. Layers with equal rules share one. Every slot has room in the page table for the longest bound; what lies there
 * follows from the bound of the sequence that it holds.
 */
export class LayerTables {
  /** `[slot][queryHead]` windows in tokens. */
  readonly windows: Int32Array;
  /** `[slot][kvHead]` pairs: offset in the layer's page table, window slots of the ring. */
  readonly rings: Int32Array;
  /** `[slot][kvHead]` pages of the ring. */
  readonly pages: Int32Array;
  /** Of one slot, in the page table. */
  readonly slotPages: number;
  readonly #bounds: PlanAtBounds;
  readonly #layer: LayerDefinition;

  constructor(bounds: PlanAtBounds, layer: LayerDefinition, batch: number, longest: number) {
    const { queryHeads, kvHeads } = bounds.plan.shape;
    this.#bounds = bounds;
    this.#layer = layer;
    this.windows = new Int32Array(batch * queryHeads);
    this.rings = new Int32Array(batch * kvHeads * 2);
    this.pages = new Int32Array(batch * kvHeads);
    const { values } = bounds.at(longest);
    this.slotPages = this.pagesAt(longest);
    for (let slot = 0; slot < batch; slot += 1) {
      let next = slot * this.slotPages;
      for (const group of layer.rings) {
        for (const kvHead of group.kvHeads) {
          this.rings[(slot * kvHeads + kvHead) * 2] = next;
          next += values[group.pages]!;
        }
      }
      this.setBound(slot, longest);
    }
  }

  /** Makes a slot that of a sequence of at most `bound` tokens. */
  setBound(slot: number, bound: number): void {
    const { shape, limits } = this.#bounds.plan;
    const { windows, values } = this.#bounds.at(bound);
    this.windows.set(this.#layer.heads.map((rule) => windows[rule]!), slot * shape.queryHeads);
    for (const group of this.#layer.rings) {
      for (const kvHead of group.kvHeads) {
        const ring = slot * shape.kvHeads + kvHead;
        this.rings[ring * 2 + 1] = values[group.span]! - limits.sink;
        this.pages[ring] = values[group.pages]!;
      }
    }
  }

  /** Pages of all rings of a sequence with this bound. */
  pagesAt(bound: number): number {
    const { values } = this.#bounds.at(bound);
    return this.#layer.rings.reduce((sum, group) => sum + values[group.pages]! * group.kvHeads.length, 0);
  }

  /** The largest window among the query heads of a KV head, in tokens: what its ring has to keep. */
  longestWindow(slot: number, kvHead: number): number {
    const { queryHeads, kvHeads } = this.#bounds.plan.shape;
    const groupSize = queryHeads / kvHeads;
    const first = slot * queryHeads + kvHead * groupSize;
    return Math.max(...this.windows.subarray(first, first + groupSize));
  }

  /** A slot's rings, in the order of their pages. */
  unitsOf(slot: number): readonly RingUnit[] {
    const { kvHeads } = this.#bounds.plan.shape;
    return this.#layer.rings.flatMap((group) =>
      group.kvHeads.map((kvHead): RingUnit => {
        const ring = slot * kvHeads + kvHead;
        return { slot, kvHead, tableOffset: this.rings[ring * 2]!, window: this.rings[ring * 2 + 1]!, pages: this.pages[ring]! };
      }),
    );
  }
}
