/** The page tables of a session on the emulator, which the kernels `changeSequence` and `step` change. */
import { expect } from 'vitest';
import { evaluate, spanOf } from '../../src/ir/affine.ts';
import { layerClasses } from '../../src/ir/layerClasses.ts';
import type { PlanDefinition } from '../../src/ir/planDefinition.ts';
import { planTables } from '../../src/ir/planTables.ts';
import type { DeviceBuffer } from '../../src/runtime/buffer.ts';
import type { Device } from '../../src/runtime/device.ts';
import { segmentWords, type DecodeCut } from '../spec/decodePlan.ts';
import { EmulatedPlanner, type ParamValues } from './planners.ts';

export type PagePlan = Pick<PlanDefinition, 'shape' | 'limits' | 'layout' | 'rules' | 'expressions' | 'layers'>;

export interface PageSessionOptions {
  readonly device: Device;
  readonly plan: PagePlan;
  /** Of the plan. */
  readonly layers: readonly number[];
  readonly slots: number;
  readonly pages: number;
  /** The longest bound of a sequence. */
  readonly longest: number;
}

/** What a step brings: see the parameters of `step`. */
export interface StepTokens {
  readonly tokens?: number;
  readonly cuSeqlens?: Int32Array;
  readonly counts?: Int32Array;
}

export interface PageKernels {
  readonly changeSequence: EmulatedPlanner;
  readonly step: EmulatedPlanner;
}

export async function loadPageKernels(device: Device): Promise<PageKernels> {
  return {
    changeSequence: await EmulatedPlanner.load(device, 'changeSequence'),
    step: await EmulatedPlanner.load(device, 'step'),
  };
}

const operations = { add: 0, remove: 1, fork: 2, truncate: 3, begin: 4 } as const;

/** How decode is cut in these tests. */
export const decodeCut: DecodeCut = { blocks: 5, minPages: 2, segmentPages: 1 };

/** The content of the tables. */
export interface PageTables {
  readonly lengths: Int32Array;
  readonly bounds: Int32Array;
  readonly reserved: Int32Array;
  readonly sharing: Int32Array;
  readonly windows: Int32Array;
  readonly rings: Int32Array;
  readonly pageTable: Int32Array;
  readonly refs: Int32Array;
  readonly freePages: Int32Array;
  readonly freeCount: Int32Array;
  readonly error: Int32Array;
  readonly ticket: Int32Array;
  /** `[class][segmentStride]`: the plan of decode. */
  readonly segments: Int32Array;
}

/** Where the rings of a class lie in its layers' parts of the page table. */
interface ClassLayout {
  /** By KV head: where its ring begins among the pages of a slot. */
  readonly offsets: readonly number[];
  readonly slotPages: number;
}

export class PageSession {
  readonly options: PageSessionOptions;
  readonly lengthStride: number;
  /** Segments of a class. */
  readonly segmentStride: number;
  /** Numbers of the session's classes among the plan's. */
  readonly planClasses: readonly number[];
  /** By layer of the session: its class in the session, and its first entry of the page table. */
  readonly pagedLayers: readonly { readonly firstEntry: number; readonly classIndex: number; readonly sink: number }[];
  readonly pool: Uint32Array;
  readonly #kernels: PageKernels;
  readonly #buffers: Readonly<Record<string, DeviceBuffer>>;
  readonly #shapes: PageTables;
  /** Those that all launches share. */
  readonly #values: ParamValues;

  constructor(kernels: PageKernels, options: PageSessionOptions) {
    const { device, plan, layers, slots, pages, longest } = options;
    const { queryHeads, kvHeads } = plan.shape;
    this.options = options;
    this.#kernels = kernels;
    const { definitions, ofLayer } = layerClasses(plan);
    this.planClasses = [...new Set(layers.map((layer) => ofLayer[layer]!))];
    this.lengthStride = Math.ceil(slots / 8) * 8;
    this.segmentStride = decodeCut.blocks + slots * kvHeads;
    const classes = this.planClasses.length;
    const layouts = this.planClasses.map((planClass): ClassLayout => {
      const offsets: number[] = [];
      let slotPages = 0;
      for (const group of definitions[planClass]!.rings) {
        for (const kvHead of group.kvHeads) {
          offsets[kvHead] = slotPages;
          slotPages += evaluate(plan.expressions[group.pages]!, { N: longest });
        }
      }
      return { offsets, slotPages };
    });
    let entries = 0;
    this.pagedLayers = layers.map((layer) => {
      const classIndex = this.planClasses.indexOf(ofLayer[layer]!);
      const placed = { firstEntry: entries, classIndex, sink: plan.layers[layer]!.sink };
      entries += slots * layouts[classIndex]!.slotPages;
      return placed;
    });
    const rings = layouts.flatMap(({ offsets, slotPages }) =>
      Array.from({ length: slots }, (_, slot) => offsets.flatMap((own) => [slot * slotPages + own, 0])).flat(),
    );
    this.#shapes = {
      lengths: new Int32Array(layers.length * this.lengthStride).fill(-1),
      bounds: new Int32Array(slots),
      reserved: new Int32Array(slots),
      sharing: new Int32Array(slots),
      windows: new Int32Array(classes * slots * queryHeads).fill(-7),
      rings: new Int32Array(rings.length).fill(-7),
      pageTable: new Int32Array(entries).fill(-1),
      refs: new Int32Array(pages),
      freePages: new Int32Array(pages).fill(-7),
      freeCount: Int32Array.of(-7),
      error: Int32Array.of(0),
      ticket: Int32Array.of(0),
      segments: new Int32Array(classes * this.segmentStride * segmentWords).fill(-7),
    };
    this.pool = new Uint32Array((pages * plan.layout.pageBytes) / 4).fill(0xdeadbeef);
    const layerWords = new DataView(new ArrayBuffer(layers.length * 16));
    this.pagedLayers.forEach(({ firstEntry, classIndex, sink }, n) => {
      layerWords.setBigInt64(n * 16, BigInt(firstEntry), true);
      layerWords.setInt32(n * 16 + 8, classIndex, true);
      layerWords.setInt32(n * 16 + 12, sink, true);
    });
    const tables = planTables(plan);
    const classSinks = this.planClasses.map((planClass) => definitions[planClass]!.sink);
    const sinks = [...new Set(classSinks)];
    const scratchStride = slots * (5 + kvHeads);
    const data: Readonly<Record<string, ArrayBufferView>> = {
      ...this.#shapes,
      pool: this.pool,
      pagedLayers: layerWords,
      ringPlaces: Int32Array.from(layouts.flatMap(({ offsets, slotPages }) => [...offsets, slotPages])),
      planClasses: Int32Array.from(this.planClasses),
      spanRules: Int32Array.from(tables.rules.flat()),
      spanSteps: Int32Array.from(tables.steps.flat()),
      spanBegins: Int32Array.from(tables.begins),
      headSpans: Int32Array.from(tables.headSpans.flat()),
      ringSpans: Int32Array.from(tables.ringSpans.flat()),
      spanSinks: Int32Array.from(tables.sinks),
      classSinks: Int32Array.from(classSinks),
      sinks: Int32Array.from(sinks),
      scratch: new Int32Array(classes * scratchStride).fill(-7),
      known: new Int32Array(classes * (2 * slots + 1)).fill(-1),
    };
    this.#buffers = Object.fromEntries(Object.entries(data).map(([name, bytes]) => [name, device.upload(bytes)]));
    this.#values = {
      ...Object.fromEntries(Object.entries(this.#buffers).map(([name, { address }]) => [name, address])),
      ...decodeCut,
      layers: layers.length,
      classes,
      slots,
      queryHeads,
      kvHeads,
      lengthStride: this.lengthStride,
      minSpan: plan.limits.minSpan,
      sinkCount: sinks.length,
      pageBytes: plan.layout.pageBytes,
      segmentStride: this.segmentStride,
      scratchStride,
      tiles: 1,
      tileRows: 16,
    };
    this.sequence(3, 'begin', 0, { value: pages });
    const begun = this.read();
    expect([...begun.rings]).toEqual(rings);
    expect([...begun.freePages, ...begun.freeCount]).toEqual([...Array(pages).keys()].toReversed().concat(pages));
    // Neighbours in the page table have other pages.
    this.#buffers['freePages']!.write(Int32Array.from({ length: pages }, (_, n) => (n * 7919) % pages));
  }

  sequence(grid: number, operation: keyof typeof operations, slot: number, { other = -1, value = -1 } = {}): void {
    const changed = { operation: operations[operation], slot, other, value };
    this.#kernels.changeSequence.launch(grid, { ...this.#values, ...changed });
  }

  /**
   * Takes the pages of a step.
   * @param layer the session's layer whose lengths count
   * @param most plans decode too, of sequences with at most so many new tokens
   */
  step(pageBlocks: number, { tokens = 0, cuSeqlens, counts }: StepTokens, layer = 0, most = 0): void {
    const { device } = this.options;
    const placed = [cuSeqlens, counts].map((data) => (data === undefined ? undefined : device.upload(data)));
    const grid = pageBlocks + (most > 0 ? this.planClasses.length : 0);
    this.#kernels.step.launch(grid, {
      ...this.#values,
      lengths: this.#buffers['lengths']!.address + BigInt(layer * this.lengthStride * 4),
      cuSeqlens: placed[0]?.address ?? 0n,
      counts: placed[1]?.address ?? 0n,
      tokens,
      pageBlocks,
      most,
    });
    for (const buffer of placed) buffer?.dispose();
  }

  /** Reads everything. */
  read(): PageTables {
    this.#buffers['pool']!.read(this.pool);
    const read = ([name, shape]: readonly [string, Int32Array]): readonly [string, Int32Array] =>
      [name, this.#buffers[name]!.read(new Int32Array(shape.length))];
    return Object.fromEntries(Object.entries(this.#shapes as unknown as Record<string, Int32Array>).map(read)) as unknown as PageTables;
  }

  writeLengths(lengths: Int32Array): void {
    this.#buffers['lengths']!.write(lengths);
  }

  writePool(): void {
    this.#buffers['pool']!.write(this.pool);
  }

  /** Where the pages of a ring begin in the page table; the layer is the session's. */
  firstEntry(tables: PageTables, layer: number, slot: number, kvHead: number): number {
    const { firstEntry, classIndex } = this.pagedLayers[layer]!;
    return firstEntry + this.ringOf(tables, classIndex, slot, kvHead).tableOffset;
  }

  ringOf({ rings }: PageTables, classIndex: number, slot: number, kvHead: number): { readonly tableOffset: number; readonly window: number } {
    const { plan, slots } = this.options;
    const at = ((classIndex * slots + slot) * plan.shape.kvHeads + kvHead) * 2;
    return { tableOffset: rings[at]!, window: rings[at + 1]! };
  }

  /** What the windows of a slot are at a bound, by class: of query heads, then of rings. */
  windowsAt(bound: number): readonly { readonly heads: readonly number[]; readonly rings: readonly number[] }[] {
    const { plan } = this.options;
    const { definitions } = layerClasses(plan);
    return this.planClasses.map((planClass) => {
      const { heads, rings, sink, modelWindow } = definitions[planClass]!;
      const ofRings = new Array<number>(plan.shape.kvHeads);
      for (const { kvHeads, span } of rings) {
        for (const kvHead of kvHeads) ofRings[kvHead] = evaluate(plan.expressions[span]!, { N: bound }) - sink;
      }
      const ofHeads = heads.map((rule) => spanOf(plan.rules[rule]!, plan.limits, bound, modelWindow) - sink);
      return { heads: ofHeads, rings: ofRings };
    });
  }

  dispose(): void {
    for (const buffer of Object.values(this.#buffers)) buffer.dispose();
  }
}
