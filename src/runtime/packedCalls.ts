/**
 * Calls whose tensors hold the new tokens of all sequences one after the other: `prefill`, and `step`, in which each sequence brings none, one or many. Sequences with one new
 * token are decoded, as far as the kernels append it themselves; the others have items of prefill.
 */
import type { PlanDefinition } from '../ir/planDefinition.ts';
import type { DeviceBuffer } from './buffer.ts';
import type { BufferSizes } from './bufferSizes.ts';
import type { Device } from './device.ts';
import type { Launches } from './launches.ts';
import { NewTokens } from './newTokens.ts';
import type { PackedCall, PackedTokens } from './packedTokens.ts';
import { budgetNeeds, prefillNeeds, PrefillRoom, type PrefillNeeds } from './prefillRoom.ts';
import type { Sequences } from './sequences.ts';
import type { LayerState, SessionBuffers } from './sessionBuffers.ts';
import { checkCuSeqlens } from './sessionChecks.ts';
import type { SessionLayout } from './sessionLayout.ts';
import type { StepTensors } from './sessionTypes.ts';
import type { StepPlans } from './stepPlans.ts';

/** Which sequences have items of prefill: all that have new tokens, or of a `step` those that decode leaves. */
type Packing = 'prefill' | 'step';

/** What packed calls need of their session. */
interface Parts {
  readonly device: Device;
  readonly plan: PlanDefinition;
  readonly layout: SessionLayout;
  readonly sequences: Sequences;
  readonly launches: Launches;
  readonly plans: StepPlans;
  readonly buffers: SessionBuffers;
}

export class PackedCalls {
  readonly #device: Device;
  readonly #plan: PlanDefinition;
  readonly #layout: SessionLayout;
  readonly #sequences: Sequences;
  readonly #launches: Launches;
  readonly #plans: StepPlans;
  readonly #sizes: BufferSizes;
  readonly #cuSeqlens: DeviceBuffer;

  constructor({ device, plan, layout, sequences, launches, plans, buffers: { cuSeqlens, sizes } }: Parts) {
    this.#device = device;
    this.#plan = plan;
    this.#layout = layout;
    this.#sequences = sequences;
    this.#launches = launches;
    this.#plans = plans;
    this.#sizes = sizes;
    this.#cuSeqlens = cuSeqlens;
  }

  /** New tokens of each slot, as the host knows them. Throws MOA6104 for numbers that are none. */
  addedBy({ cuSeqlens }: StepTensors, lengthBound: number): Int32Array {
    if (cuSeqlens instanceof NewTokens) return cuSeqlens.current;
    const ends = checkCuSeqlens(cuSeqlens, this.#sequences.slots, lengthBound);
    return Int32Array.from({ length: this.#sequences.slots }, (_, slot) => ends[slot + 1]! - ends[slot]!);
  }

  /** A call with lengths that the host knows, found to fit the length bounds. */
  call(state: LayerState, { cuSeqlens: given }: StepTensors, added: Int32Array, packing: Packing): PackedCall {
    const from = this.#sequences.lengthsOf(state.index);
    const fewest = fewestOf(state, packing);
    let decodes = false;
    const sequences: { readonly added: number; readonly cached: number }[] = [];
    added.forEach((count, slot) => {
      if (count >= fewest) sequences.push({ added: count, cached: from.tokens[slot]! });
      else if (count > 0) decodes = true;
    });
    const needs = prefillNeeds(this.#plan, state.prefill.definition, this.#device.multiprocessors, sequences);
    const lengths = this.#sequences.after(from, added);
    this.#sequences.checkRoom(state.index, lengths);
    const numbers = given instanceof NewTokens ? given : undefined;
    return {
      rows: numbers?.budget ?? added.reduce((sum, count) => sum + count, 0),
      cuSeqlens: (numbers?.cuSeqlens ?? this.#cuSeqlens).address,
      room: numbers?.room ?? this.#launches.prefillRoom,
      fewest,
      decodes,
      prefills: sequences.length > 0,
      needs,
      lengths,
      write: () => {
        if (numbers === undefined) this.#cuSeqlens.write(endsOf(added));
      },
    };
  }

  /** A step that is recorded: of any numbers that `tokens` may hold. */
  recorded(state: LayerState, tokens: NewTokens): PackedTokens {
    const { budget, cuSeqlens, room } = tokens;
    const fewest = fewestOf(state, 'step');
    const needs = this.#needsOf(state, budget);
    return { rows: budget, cuSeqlens: cuSeqlens.address, room, fewest, decodes: fewest > 1, prefills: needs.items > 0, needs };
  }

  /** Numbers for steps of so many tokens, and what those need. Allocates everything, or nothing when it throws. */
  newTokens(states: readonly LayerState[], budget: number): NewTokens {
    const room = new PrefillRoom(this.#device, this.#plan, this.#layout, this.#sequences.slots);
    try {
      for (const state of states) {
        const needs = this.#needsOf(state, budget);
        if (needs.items === 0) continue;
        room.forItems(needs);
        room.parts(needs.parts, state.prefill.definition);
        if (state.expand !== undefined) this.#launches.prefillRoom.pages();
      }
      const cuSeqlens = this.#sizes.make(this.#device, 'cuSeqlens').fill(0);
      return new NewTokens(this.#sequences.slots, budget, cuSeqlens, room);
    } catch (error) {
      room.dispose();
      throw error;
    }
  }

  /** What any step of so many tokens needs at most. */
  #needsOf(state: LayerState, budget: number): PrefillNeeds {
    const { multiprocessors } = this.#device;
    return budgetNeeds(this.#plan, state.prefill.definition, multiprocessors, { budget, fewest: fewestOf(state, 'step'), slots: this.#sequences.slots });
  }

  /** Everything, in order. What it needs is made first: when it throws, nothing was launched. */
  run(state: LayerState, tensors: StepTensors, call: PackedCall): void {
    if (!call.decodes && !call.prefills) return;
    const { layer } = state.layout;
    this.#sequences.checkPages([call.lengths]);
    this.#plans.makeRoom(state, call);
    const run = this.launches(state, tensors, call);
    this.#plans.packed(state, call);
    run(this.#plans.mayReadEarly(layer));
    this.#plans.writes(layer);
    this.#sequences.commit(state.index, call.lengths);
  }

  /** What comes before the launches of a prefill, and it alone. */
  plan(state: LayerState, call: PackedCall): void {
    if (!call.prefills) return;
    this.#plans.makeRoom(state, call);
    this.#plans.packed(state, call);
  }

  /** The attention of a prefill alone. */
  attend(state: LayerState, tensors: StepTensors, call: PackedCall): void {
    if (!call.prefills) return;
    this.#sequences.checkPages([call.lengths]);
    this.#plans.makeRoom(state, call);
    const attend = this.#launches.prefill(state, tensors, call);
    this.#plans.packed(state, call);
    attend();
  }

  /** The launches of a prefill that is planned already. `takesPages`: of a sequence that was reset they are taken anew. */
  record(state: LayerState, tensors: StepTensors, call: PackedCall, takesPages: boolean): void {
    const run = this.launches(state, tensors, call);
    if (takesPages) this.#launches.step(state, { each: 0, cuSeqlens: call.cuSeqlens, counts: 0n });
    run(false);
  }

  /** Pages that the items of a prefill visit together. Waits for their plan. */
  pagesOf(state: LayerState, call: PackedCall): number {
    this.plan(state, call);
    return call.room.pagesOf(state.layout.layerClass);
  }

  /**
   * The launches of a call behind its plan, as a function that launches them. Makes the memory that they need: when it throws, nothing was launched.
   * @param early whether the launch before wrote nothing of the layer
   */
  launches(state: LayerState, tensors: StepTensors, tokens: PackedTokens): (early: boolean) => void {
    const { rows, cuSeqlens, fewest, decodes, prefills, needs } = tokens;
    const launches = this.#launches;
    const attend = prefills ? launches.prefill(state, tensors, tokens) : undefined;
    return (early) => {
      if (decodes) launches.decodePacked(state, tensors, cuSeqlens, early);
      if (attend === undefined) return;
      if (needs.goesOn) {
        // New tokens may take the place of those that they attend, so they are written last; RoPE turns them first.
        launches.rotate(state, tensors, rows, cuSeqlens, fewest);
        attend();
        launches.appendRotated(state, tensors, rows, cuSeqlens, fewest);
      } else {
        launches.append(state, tensors, rows, cuSeqlens, { fewest });
        attend();
      }
    };
  }
}

/** Decode appends one token itself, where its kernel can. */
const fewestOf = ({ decode }: LayerState, packing: Packing): number => (packing === 'step' && decode !== undefined ? 2 : 1);

function endsOf(added: Int32Array): Int32Array {
  const ends = new Int32Array(added.length + 1);
  added.forEach((count, slot) => (ends[slot + 1] = ends[slot]! + count));
  return ends;
}
