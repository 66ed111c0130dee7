import type { PlannerDefinition } from '../ir/planDefinition.ts';
import type { FoundKernel } from './sessionBuffers.ts';
import { packParams, type ParamValue } from './packParams.ts';

/** A launch that comes again and again: its parameters are packed once, and a few of them change from time to time. */
export class PreparedLaunch {
  readonly #found: FoundKernel<PlannerDefinition>;
  readonly #grid: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #offsets: ReadonlyMap<string, number>;

  constructor(found: FoundKernel<PlannerDefinition>, grid: number, values: Readonly<Record<string, ParamValue>>) {
    this.#found = found;
    this.#grid = grid;
    this.#bytes = packParams(found.params, values);
    this.#view = new DataView(this.#bytes.buffer);
    this.#offsets = new Map(found.params.fields.map(({ name, offset }) => [name, offset]));
  }

  setPointer(name: string, address: bigint): void {
    this.#view.setBigUint64(this.#offsets.get(name)!, address, true);
  }

  setInt32(name: string, value: number): void {
    this.#view.setInt32(this.#offsets.get(name)!, value, true);
  }

  /** The parameters are read before this returns. */
  launch(): void {
    const { kernel, definition, waitsItself } = this.#found;
    kernel.launch({ grid: this.#grid, threads: definition.threads, sharedBytes: definition.sharedBytes, params: this.#bytes, programmatic: waitsItself });
  }
}
