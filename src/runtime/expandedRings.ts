import type { PlanDefinition } from '../ir/planDefinition.ts';
import type { LayerTables } from './layerTables.ts';
import { ringPagesInUse } from './sessionLayout.ts';

/** The rings that a prefill reads, where its kernels do not read them as they are stored: their pages in use, one ring behind the other. */
export interface ExpandedRings {
  /** Of each an `ExpandedRing` (templates/include/moa/expand.cuh): pages of those before it, offset in the page table, KV head. */
  readonly words: Int32Array;
  readonly count: number;
  readonly pages: number;
  /** `[slot][kvHead]` as in the tables, but offsets are those of expanded pages; of use for the sequences that were asked for alone. */
  readonly rings: Int32Array;
}

/** Those of the sequences in `slots`, which hold tokens: as many as `cached` says. */
export function expandedRings({ shape, layout }: PlanDefinition, cached: ArrayLike<number>, slots: readonly number[], tables: Pick<LayerTables, 'rings' | 'sink'>): ExpandedRings {
  const { kvHeads } = shape;
  const rings = tables.rings.slice();
  const words: number[] = [];
  let pages = 0;
  for (const slot of slots) {
    for (let kvHead = 0; kvHead < kvHeads; kvHead += 1) {
      const at = 2 * (slot * kvHeads + kvHead);
      const [tableOffset, window] = [rings[at]!, rings[at + 1]!];
      words.push(pages, tableOffset, kvHead);
      rings[at] = pages;
      pages += ringPagesInUse(cached[slot]!, window, tables.sink, layout.pageTokens);
    }
  }
  return { words: Int32Array.from(words), count: slots.length * kvHeads, pages, rings };
}
