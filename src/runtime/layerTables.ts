import { evaluate, windowOf } from '../ir/affine.ts';
import type { LayerDefinition, PlanDefinition } from '../ir/planDefinition.ts';
import type { RingUnit } from '../passes/schedule/decodeSegments.ts';

/** Evaluates a plan at length bounds, each once. */
export class PlanAtBounds {
  readonly plan: PlanDefinition;
  readonly #values = new Map<number, readonly number[]>();
  readonly #windows = new Map<string, readonly number[]>();

  constructor(plan: PlanDefinition) {
    this.plan = plan;
  }

  /** Of each expression, at a length bound. */
  valuesAt(bound: number): readonly number[] {
    let found = this.#values.get(bound);
    if (found === undefined) {
      found = this.plan.expressions.map((expression) => evaluate(expression, { N: bound }));
      this.#values.set(bound, found);
    }
    return found;
  }

  /** Of each rule in tokens, in a layer with this window of the model's own. */
  windowsAt(bound: number, modelWindow: number | null): readonly number[] {
    const key = `${bound} ${modelWindow}`;
    let found = this.#windows.get(key);
    if (found === undefined) {
      const { rules, limits } = this.plan;
      found = rules.map((rule) => windowOf(rule, limits, bound, modelWindow));
      this.#windows.set(key, found);
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
  /** The layer's: the first tokens of a sequence, always attended. */
  readonly sink: number;
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
    this.sink = layer.sink;
    const values = bounds.valuesAt(longest);
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
    const { shape } = this.#bounds.plan;
    const values = this.#bounds.valuesAt(bound);
    const windows = this.#bounds.windowsAt(bound, this.#layer.modelWindow);
    this.windows.set(this.#layer.heads.map((rule) => windows[rule]!), slot * shape.queryHeads);
    for (const group of this.#layer.rings) {
      for (const kvHead of group.kvHeads) {
        const ring = slot * shape.kvHeads + kvHead;
        this.rings[ring * 2 + 1] = values[group.span]! - this.sink;
        this.pages[ring] = values[group.pages]!;
      }
    }
  }

  /** Pages of all rings of a sequence with this bound. */
  pagesAt(bound: number): number {
    const values = this.#bounds.valuesAt(bound);
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
