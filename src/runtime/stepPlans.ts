/**
 * The plans of steps: what comes before the first layer of a step, once for all layers that have the same lengths. A
 * plan on the device stays good until other lengths come, or something else writes the session's state.
 */
import type { DecodePlanName, Launches, StepTokens } from './launches.ts';
import type { PackedCall, PackedTokens } from './packedTokens.ts';
import type { Lengths, Sequences } from './sequences.ts';
import type { LayerState } from './sessionBuffers.ts';

/** What work items of a prefill follow from, besides lengths. Layers with different sinks have different kernels. */
const planOfPrefill = ({ prefill: { definition } }: LayerState): string =>
  [definition.rows, definition.blocksPerSm, definition.partialFloats > 0].join(' ');

/** What a packed call is planned for, besides lengths. */
const planOfPacked = (state: LayerState, { fewest, cuSeqlens }: PackedTokens): string =>
  `${planOfPrefill(state)} ${fewest} ${cuSeqlens}`;

/** A plan on the device: of a decode, or of packed calls. */
export type PlanName = DecodePlanName | 'packed';

export class StepPlans {
  readonly #launches: Launches;
  readonly #sequences: Sequences;
  /** The lengths that the plans on the device are for: those behind the step. */
  readonly #planned = new Map<PlanName, { readonly lengths: Lengths; readonly as: string }>();

  #packedDecodes = false;
  /** The layer whose state the last launch wrote; 'all' where that is not known, or a plan was made. */
  #lastWritten: number | 'all' = 'all';

  constructor(launches: Launches, sequences: Sequences) {
    this.#launches = launches;
    this.#sequences = sequences;
  }

  /** Makes room for the work items of a packed call. Where that fails, nothing was launched, and the last plan is forgotten. */
  makeRoom(state: LayerState, call: PackedCall): void {
    if (!call.prefills || this.#isPlanned('packed', call.lengths, planOfPacked(state, call))) return;
    this.#planned.delete('packed');
    call.room.forItems(call.needs);
  }

  /**
   * Of a packed call that has room: its numbers on the device, pages for the tokens, and what all layers work on. Whether
   * anything was launched.
   */
  packed(state: LayerState, call: PackedCall): boolean {
    const { lengths } = call;
    const as = planOfPacked(state, call);
    if (this.#isPlanned('packed', lengths, as)) return false;
    call.write();
    this.launchPacked(state, call, () => this.#sequences.reserve([lengths]));
    this.#lastWritten = 'all';
    this.#planned.set('packed', { lengths, as });
    // Plans of decodes of one token have the same memory.
    this.#packedDecodes = call.decodes;
    if (call.decodes) this.#planned.delete('one');
    return true;
  }

  /** The launches of such a plan, of numbers that lie on the device. `taken`: called when pages are. */
  launchPacked(state: LayerState, call: PackedTokens, taken?: () => void): void {
    const tokens = { each: 0, cuSeqlens: call.cuSeqlens, counts: 0n };
    this.#launches.step(state, tokens, call.decodes ? 'one' : undefined);
    taken?.();
    if (call.prefills) this.#launches.planPrefill(state, call);
  }

  /** Of a decode: pages for the tokens, and which block reads which. Whether anything was launched. */
  decode(state: LayerState, lengths: Lengths, name: DecodePlanName, step: StepTokens, tokens: number): boolean {
    const as = `${tokens} ${step.counts === 0n ? 'all' : 'counted'}`;
    if (this.#isPlanned(name, lengths, as)) return false;
    this.#launches.step(state, step, name, tokens);
    this.#sequences.reserve([lengths]);
    this.#lastWritten = 'all';
    this.#planned.set(name, { lengths, as });
    if (name === 'one' && this.#packedDecodes) this.#planned.delete('packed');
    return true;
  }

  /** Whether the launch before wrote nothing that the next one of this layer reads, but new tokens. */
  mayReadEarly(layer: number): boolean {
    return this.#lastWritten !== layer && this.#lastWritten !== 'all';
  }

  /** A launch writes this layer's state. */
  writes(layer: number): void {
    this.#lastWritten = layer;
  }

  /** The device's state, and its plans, are no longer what the session's last eager launch left. */
  forget(): void {
    this.#planned.clear();
    this.#lastWritten = 'all';
  }

  #isPlanned(name: PlanName, lengths: Lengths, as: string): boolean {
    const planned = this.#planned.get(name);
    return planned?.lengths === lengths && planned.as === as;
  }
}
