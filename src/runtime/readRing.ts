import type { PlanDefinition } from '../ir/planDefinition.ts';
import { invariant } from '../util/invariant.ts';
import type { DeviceBuffer } from './buffer.ts';
import { windowsOfRings, type LayerLayout } from './sessionLayout.ts';

/** The content of one ring, in the order of positions. */
export interface CachedTokens {
  readonly positions: Int32Array;
  /** `[positions][headDim]` elements as stored bits, 16 or 8 of each. */
  readonly keys: Uint16Array;
  readonly values: Uint16Array;
}

/** Reads a ring back, of a sequence of `length` tokens that had `reached` before a truncation, and undoes ring order and swizzle (templates/include/moa/page.cuh). */
export function readRing(
  plan: PlanDefinition,
  layout: LayerLayout,
  buffers: { readonly pool: DeviceBuffer; readonly pageTable: DeviceBuffer },
  { slot, bound }: { readonly slot: number; readonly bound: number },
  kvHead: number,
  { length, reached }: { readonly length: number; readonly reached: number },
): CachedTokens {
  const { headDim } = plan.shape;
  const { layerClass } = layout;
  const { pageTokens, pageBytes } = plan.layout;
  const { sink } = layerClass;
  const tableOffset = slot * layerClass.slotPages + layerClass.tableOffsets[kvHead]!;
  const ring = windowsOfRings(layerClass, bound).find(({ kvHeads }) => kvHeads.includes(kvHead));
  invariant(ring !== undefined, 'the ring exists');
  const { window } = ring;

  const positions: number[] = [];
  for (let j = 0; j < length; j += 1) {
    if (j < sink || j >= reached - window) positions.push(j);
  }
  const sinkSlots = Math.ceil(sink / pageTokens) * pageTokens;
  const keys = new Uint16Array(positions.length * headDim);
  const values = new Uint16Array(positions.length * headDim);
  const pages = new Map<number, Uint8Array>();
  const place = placeInPage(plan);
  positions.forEach((j, index) => {
    const ringSlot = j < sink ? j : sinkSlots + ((j - sink) % window);
    const ringPage = Math.floor(ringSlot / pageTokens);
    let page = pages.get(ringPage);
    if (page === undefined) {
      const number = new Int32Array(1);
      buffers.pageTable.slice((layout.firstEntry + tableOffset + ringPage) * 4, 4).read(number);
      page = new Uint8Array(pageBytes);
      buffers.pool.slice(number[0]! * pageBytes, pageBytes).read(page);
      pages.set(ringPage, page);
    }
    const row = ringSlot % pageTokens;
    for (let column = 0; column < headDim; column += 1) {
      const at = place(row, column);
      keys[index * headDim + column] = stored(plan, page, at);
      values[index * headDim + column] = stored(plan, page, at + pageBytes / 2);
    }
  });
  return { positions: Int32Array.from(positions), keys, values };
}

/** Bytes from the start of a page's keys, or of its values, to element `column` of row `row`: the swizzle of cache16.cuh or cache8.cuh. */
function placeInPage({ shape: { headDim }, layout: { pageTokens, cacheType } }: PlanDefinition): (row: number, column: number) => number {
  if (cacheType === 'element') {
    return (row, column) => {
      const chunk = Math.floor((column % 64) / 8) ^ (row & 7);
      return (Math.floor(column / 64) * pageTokens * 64 + row * 64 + chunk * 8 + (column % 8)) * 2;
    };
  }
  const columns = Math.min(headDim, 128);
  const rowsOfLine = 128 / columns;
  return (row, column) => {
    const line = Math.floor(row / rowsOfLine);
    const chunk = (((row % rowsOfLine) * columns) / 16 + Math.floor((column % columns) / 16)) ^ (line & 7);
    return Math.floor(column / columns) * pageTokens * columns + line * 128 + chunk * 16 + (column % 16);
  };
}

const stored = ({ layout }: PlanDefinition, page: Uint8Array, at: number): number => (layout.cacheType === 'element' ? page[at]! | (page[at + 1]! << 8) : page[at]!);
