/**
 * Thousands of steps from one captured graph in which sequences bring none, one or many tokens, beside the same tokens in eager calls of another session: outputs and
 * caches are equal to the last bit, whoever comes, forks, goes back and ends, and however the eager calls are cut.
 */
import { encodeElements } from '../../src/runtime/elements.ts';
import type { DeviceBuffer } from '../../src/runtime/buffer.ts';
import type { Session } from '../../src/runtime/session.ts';
import type { Target } from './harness.ts';
import { firstDifference } from './outputs.ts';
import type { PlanSpec } from './plans.ts';
import { Random } from './random.ts';
import { range } from './runCase.ts';
import { shapeOf } from './shapes.ts';

const batch = 4;
/** Rows of a step. */
const budget = 72;
const lengthBound = 330;

interface Rows {
  readonly q: DeviceBuffer;
  readonly k: DeviceBuffer;
  readonly v: DeviceBuffer;
  readonly out: DeviceBuffer;
}

export async function mixtureIsEager(target: Target, spec: PlanSpec, { steps, pages }: { readonly steps: number; readonly pages?: number }): Promise<ReadonlyMap<string, number>> {
  const shape = shapeOf(spec.shape);
  const device = await target.device({ multiprocessors: 2 });
  using plan = await target.load(device, spec);
  const options = { batch, lengthBound, slots: 'free', poolByte: 0xff, ...(pages === undefined ? {} : { pages }) } as const;
  using eager = plan.createSession(options);
  using replayed = plan.createSession(options);
  const happened = new Map<string, number>();
  const random = new Random(7);
  const draw = (below: number): number => random.below(below);
  const both = (what: string, act: (session: Session) => number | void): void => {
    if (act(eager) !== act(replayed)) throw new Error('the sessions differ');
    happened.set(what, (happened.get(what) ?? 0) + 1);
  };
  const rows = (heads: number): DeviceBuffer => device.upload(encodeElements(shape.elementType, Float32Array.from({ length: budget * heads * shape.headDim }, () => random.normal())));
  const tensors = (): Rows => ({ q: rows(shape.queryHeads), k: rows(shape.kvHeads), v: rows(shape.kvHeads), out: rows(shape.queryHeads) });
  const given = spec.rules.map(tensors);
  const own = spec.rules.map(tensors);
  const fixed = spec.rules.map(tensors);
  const numbers = replayed.newTokens({ budget });
  using graph = replayed.capture(() => fixed.forEach((set, layer) => replayed.step(layer, { ...set, cuSeqlens: numbers })));
  try {
    for (let n = 0; n < steps; n += 1) {
      churn(eager, both, draw);
      const lengths = [...eager.lengths(0)];
      let left = budget;
      const bounds = eager.lengthBounds();
      const counts = lengths.map((length, slot) => {
        const wanted = [0, 1, 1, 1, 2 + draw(9), 1 + draw(60)][draw(6)]!;
        const count = length < 0 ? 0 : Math.min(wanted, bounds[slot]! - length, left);
        left -= count;
        return count;
      });
      numbers.set(counts);
      // Other rows come to other sequences in each step: as RoPE turns some of them where they lie, they are copied first.
      given.forEach((set, layer) => {
        for (const name of ['q', 'k', 'v', 'out'] as const) {
          own[layer]![name].copyFrom(set[name]);
          fixed[layer]![name].copyFrom(set[name]);
        }
      });
      if (!mayThrow('MOA6109', () => graph.launch())) {
        happened.set('pool full', (happened.get('pool full') ?? 0) + 1);
        const slot = lengths.findIndex((length) => length >= 0);
        both('preempted', (session) => session.remove(slot));
        continue;
      }
      const way = (['together', 'one by one', 'as prefill'] as const)[draw(3)]!;
      happened.set(way, (happened.get(way) ?? 0) + 1);
      runEager(eager, own, counts, way);
      own.forEach((set, layer) => firstDifference(`step ${n}, ${way}, layer ${layer}, of ${counts.join()}`, set.out.read(), fixed[layer]!.out.read()));
    }
    compareCaches(eager, replayed, spec.rules.length, shape.kvHeads);
  } finally {
    for (const set of [...given, ...own, ...fixed]) for (const buffer of Object.values(set) as DeviceBuffer[]) buffer.dispose();
  }
  return happened;
}

/** The same step: in one call, in a call for each sequence, or with prompts as those of `prefill`. */
function runEager(session: Session, sets: readonly Rows[], counts: readonly number[], way: 'together' | 'one by one' | 'as prefill'): void {
  const begins = counts.map((_, slot) => counts.slice(0, slot).reduce((sum, count) => sum + count, 0));
  const endsOf = (own: readonly number[]): number[] => own.reduce<number[]>((ends, count) => [...ends, ends.at(-1)! + count], [0]);
  sets.forEach((set, layer) => {
    if (way === 'together') {
      session.step(layer, { ...set, cuSeqlens: endsOf(counts) });
      return;
    }
    counts.forEach((count, slot) => {
      if (count === 0) return;
      const view = Object.fromEntries(Object.entries(set).map(([name, buffer]: [string, DeviceBuffer]) => {
        const row = buffer.bytes / budget;
        return [name, buffer.slice(begins[slot]! * row, count * row)];
      })) as unknown as Rows;
      const call = { ...view, cuSeqlens: endsOf(counts.map((own, other) => (other === slot ? own : 0))) };
      if (way === 'as prefill' && count > 1) session.prefill(layer, call);
      else session.step(layer, call);
    });
  });
}

/** Whether the call went well, and did not throw this error. */
function mayThrow(code: string, call: () => void): boolean {
  try {
    call();
    return true;
  } catch (error) {
    if ((error as { code?: string }).code === code) return false;
    throw error;
  }
}

/** Sequences come, fork, go back and end: more often come, and at once where there is none. */
function churn(session: Session, both: (what: string, act: (session: Session) => number | void) => void, draw: (below: number) => number): void {
  const lengths = [...session.lengths(0)];
  const held = lengths.flatMap((length, slot) => (length < 0 ? [] : [slot]));
  const bounds = session.lengthBounds();
  const full = held.find((slot) => lengths[slot] === bounds[slot]);
  if (full !== undefined) return both('remove', (each) => each.remove(full));
  if (held.length === 0) return both('add', (each) => each.add());
  const slot = held[draw(held.length)]!;
  const what = draw(12);
  const bound = 300 + draw(2) * 30;
  if (what < 2 && held.length < batch) both('add', (each) => each.add({ lengthBound: bound }));
  else if (what < 4 && held.length < batch) both('fork', (each) => each.fork(slot));
  else if (what === 4) both('remove', (each) => each.remove(slot));
  else if (what === 5 && lengths[slot]! > 0) {
    // Of a ring that has gone round the newest token can be taken back, once.
    both('truncate', (each) => void mayThrow('MOA6110', () => each.truncate(slot, lengths[slot]! - 1)));
  }
}

function compareCaches(a: Session, b: Session, layers: number, kvHeads: number): void {
  for (const layer of range(0, layers)) {
    for (const slot of range(0, batch)) {
      if (a.lengthBounds()[slot] === 0) continue;
      for (const kvHead of range(0, kvHeads)) {
        const [first, second] = [a.cachedTokens(layer, slot, kvHead), b.cachedTokens(layer, slot, kvHead)];
        firstDifference(`keys of layer ${layer}, slot ${slot}`, first.keys, second.keys);
        firstDifference(`values of layer ${layer}, slot ${slot}`, first.values, second.values);
      }
    }
  }
}
