/**
 * Thousands of decode steps from one captured graph, beside the same steps launched one by one in another session: outputs and caches are equal to the last bit, while
 * every ring goes round many times, and sequences join, leave, fork and are truncated on the way.
 */
import { encodeElements } from '../../src/runtime/elements.ts';
import type { Session } from '../../src/runtime/session.ts';
import type { Target } from './harness.ts';
import { firstDifference } from './outputs.ts';
import type { PlanSpec } from './plans.ts';
import { Random } from './random.ts';
import { range } from './runCase.ts';
import { shapeOf } from './shapes.ts';

const batch = 4;
const sets = 16;

/** @param every steps somebody leaves and another comes */
export async function replayIsEager(target: Target, spec: PlanSpec, { steps, tokens = 1, every = 509 }: { readonly steps: number; readonly tokens?: number; readonly every?: number  }): Promise<void> {
  const shape = shapeOf(spec.shape);
  const device = await target.device();
  using plan = await target.load(device, spec);
  const lengthBound = steps * tokens + 64;
  const options = { batch, lengthBound, slots: 'free', poolByte: 0xff, decodeTokens: tokens } as const;
  using eager = plan.createSession(options);
  using replayed = plan.createSession(options);
  const both = (act: (session: Session) => number | void): void => {
    if (act(eager) !== act(replayed)) throw new Error('the sessions differ');
  };

  const random = new Random(5);
  const upload = (heads: number) => device.upload(encodeElements(shape.elementType, Float32Array.from({ length: batch * tokens * heads * shape.headDim }, () => random.normal())));
  const inputs = range(0, sets).map(() => spec.rules.map(() => ({ q: upload(shape.queryHeads), k: upload(shape.kvHeads), v: upload(shape.kvHeads) })));
  const outBytes = batch * tokens * shape.queryHeads * shape.headDim * 2;
  const outs = spec.rules.map(() => device.alloc(outBytes));
  const fixed = spec.rules.map(() => ({ q: upload(shape.queryHeads), k: upload(shape.kvHeads), v: upload(shape.kvHeads), out: device.alloc(outBytes) }));
  const buffers = [...inputs.flat().flatMap((set) => Object.values(set)), ...outs, ...fixed.flatMap((set) => Object.values(set))];
  range(0, batch).forEach(() => both((session) => session.join()));
  using step = replayed.capture(() => fixed.forEach((tensors, layer) => replayed.decode(layer, { ...tensors, tokens })));
  try {
    for (let n = 0; n < steps; n += 1) {
      if (n % every === every - 1) churn(both, Math.floor(n / every));
      const set = inputs[n % sets]!;
      set.forEach((tensors, layer) => {
        eager.decode(layer, { ...tensors, out: outs[layer]!, tokens });
        for (const name of ['q', 'k', 'v'] as const) fixed[layer]![name].copyFrom(tensors[name]);
      });
      step.launch();
      outs.forEach((out, layer) => firstDifference(`step ${n}, layer ${layer}`, out.read(new Uint16Array(outBytes / 2)), fixed[layer]!.out.read(new Uint16Array(outBytes / 2))));
    }
    spec.rules.forEach((_, layer) => {
      for (const slot of range(0, batch)) {
        if (eager.lengthBounds()[slot] === 0) continue;
        for (const kvHead of range(0, shape.kvHeads)) {
          const [a, b] = [eager.cachedTokens(layer, slot, kvHead), replayed.cachedTokens(layer, slot, kvHead)];
          firstDifference(`keys of layer ${layer}, slot ${slot}`, a.keys, b.keys);
          firstDifference(`values of layer ${layer}, slot ${slot}`, a.values, b.values);
        }
      }
    });
  } finally {
    buffers.forEach((buffer) => buffer.dispose());
  }
}

/** One sequence leaves, another is copied into its slot or joins, and one token is taken back. */
function churn(both: (act: (session: Session) => number | void) => void, n: number): void {
  const slot = n % batch;
  const other = (slot + 1) % batch;
  both((session) => session.leave(slot));
  if (n % 2 === 0) both((session) => session.fork(other));
  else both((session) => session.join());
  both((session) => session.truncate(other, session.lengths(0)[other]! - 1));
}
