/** A session's decode schedules, and where they lie on the device. */
import type { PlanDefinition } from '../ir/planDefinition.ts';
import { decodeSegmentWords } from '../ir/workItems.ts';
import { decodeRowTiles } from '../kernels/decodeRows.ts';
import { decodeSegments, idleSegments, type DecodeSegments } from '../passes/schedule/decodeSegments.ts';
import type { DeviceBuffer } from './buffer.ts';
import type { LayerTables } from './layerTables.ts';
import type { SessionOptions } from './sessionTypes.ts';

export interface PlacedSegments extends Omit<DecodeSegments, 'words'> {
  readonly buffer: DeviceBuffer;
}

/** One schedule, and what it is made from. */
interface Entry {
  readonly tables: LayerTables;
  /** The most that run at once. */
  readonly blocks: number;
  readonly tokens: number;
  readonly placed: PlacedSegments;
  /** As on the device. */
  words: Int32Array;
}

/**
 * Layers with equal rules share schedules. Blocks are shared out among all slots once, for sequences of the session's length bound (`slots`), or among the sequences
 * that are there, before the first decode after that changed (`sequences`). Launches are alike in any case, so that captured steps stay good.
 */
export class DecodeSchedules {
  readonly #plan: PlanDefinition;
  readonly #options: Pick<SessionOptions, 'batch' | 'balance'>;
  readonly #bounds: Int32Array;
  readonly #upload: (words: Int32Array) => DeviceBuffer;
  readonly #entries = new Map<LayerTables, Map<string, Entry>>();
  /** Those to be made for the sequences that are there now. */
  readonly #stale = new Map<PlacedSegments, Entry>();

  /** `bounds`: of the slots' sequences, 0 for none. `upload` makes a buffer of the session. */
  constructor(plan: PlanDefinition, options: Pick<SessionOptions, 'batch' | 'balance'>, bounds: Int32Array, upload: (words: Int32Array) => DeviceBuffer) {
    this.#plan = plan;
    this.#options = options;
    this.#bounds = bounds;
    this.#upload = upload;
  }

  /** The schedule of layers with these tables, for `blocks` blocks at once and `tokens` tokens of each sequence. */
  of(tables: LayerTables, blocks: number, tokens: number): PlacedSegments {
    let known = this.#entries.get(tables);
    if (known === undefined) this.#entries.set(tables, (known = new Map()));
    const { tiles } = decodeRowTiles(this.#plan.shape, tokens);
    const key = `${blocks} ${tiles}`;
    let entry = known.get(key);
    if (entry === undefined) known.set(key, (entry = this.#make(tables, blocks, tokens)));
    return entry.placed;
  }

  /** A slot's sequence has come or gone, and with it its length bound. */
  update(slot: number): void {
    for (const [tables, entries] of this.#entries) {
      for (const entry of entries.values()) {
        if (this.#options.balance === 'sequences') this.#stale.set(entry.placed, entry);
        else if (setWindows(entry.words, tables, slot, this.#plan.shape.kvHeads)) entry.placed.buffer.write(entry.words);
      }
    }
  }

  /** Before a launch of decode: its schedule, and with it those of all layers for as many tokens, are made for the sequences that are there now. */
  refresh(placed: PlacedSegments): void {
    const tokens = this.#stale.get(placed)?.tokens;
    if (tokens === undefined) return;
    for (const entry of this.#stale.values()) if (entry.tokens === tokens) this.#rewrite(entry);
  }

  #make(tables: LayerTables, blocks: number, tokens: number): Entry {
    const slots = Array.from({ length: this.#options.batch }, (_, slot) => slot);
    if (this.#options.balance !== 'sequences') {
      const { words, ...facts } = this.#cut(tables, blocks, tokens, slots);
      return { tables, blocks, tokens, words, placed: { ...facts, buffer: this.#upload(words) } };
    }
    // Where a block ends a ring is cut: at most one piece more for each block, and at most two pieces of cut rings in each.
    const rings = slots.length * this.#plan.shape.kvHeads * decodeRowTiles(this.#plan.shape, tokens).tiles;
    const buffer = this.#upload(new Int32Array((rings + blocks) * decodeSegmentWords));
    const entry = { tables, blocks, tokens, words: new Int32Array(), placed: { blocks, partials: 2 * blocks, tickets: blocks, buffer } };
    this.#stale.set(entry.placed, entry);
    return entry;
  }

  #rewrite(entry: Entry): void {
    const held = Array.from(this.#bounds.keys()).filter((slot) => this.#bounds[slot]! > 0);
    entry.words = idleSegments(this.#cut(entry.tables, entry.blocks, entry.tokens, held), entry.blocks);
    entry.placed.buffer.write(entry.words);
    this.#stale.delete(entry.placed);
  }

  /** Of rings that are full, each as often as its rows of queries fill tiles. */
  #cut(tables: LayerTables, blocks: number, tokens: number, slots: readonly number[]): DecodeSegments {
    const { tiles, rows } = decodeRowTiles(this.#plan.shape, tokens);
    const units = slots.flatMap((slot) => tables.unitsOf(slot));
    const tiled = units.flatMap((unit) => Array.from({ length: tiles }, (_, tile) => ({ ...unit, firstRow: tile * rows })));
    return decodeSegments(this.#plan.decode, tiled, blocks);
  }
}

/** Writes the windows of a slot's rings into the segments that read them. Whether one changed: a sequence mostly has the bound of the one before it. */
function setWindows(words: Int32Array, tables: LayerTables, slot: number, kvHeads: number): boolean {
  let changed = false;
  for (let at = 0; at < words.length; at += decodeSegmentWords) {
    if (words[at] !== slot) continue;
    const window = tables.rings[(slot * kvHeads + words[at + 1]!) * 2 + 1]!;
    changed ||= words[at + 3] !== window;
    words[at + 3] = window;
  }
  return changed;
}
