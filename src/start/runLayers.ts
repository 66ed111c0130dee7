/** The second step of the demo: prefill and decode every layer with random data, and compare with the plain attention. */
import type { ElementType, KernelRole } from '../ir/nodes.ts';
import type { PlanDefinition } from '../ir/planDefinition.ts';
import { decodeElements, encodeElements, type Device, type DeviceBuffer, type Plan, type Session, type SessionMemory } from '../runtime/index.ts';
import { plainAttention, plainSink, plainWindow, type PlainPlan } from './reference.ts';

/** The demo's sequences: prompts of different lengths, then the same number of new tokens for each. `lengthBound` is a length that the plan was searched for. */
export const demo = { lengthBound: 1024, prompts: [900, 333], steps: 8 } as const;

export interface Outcome {
  /** Kernel launches by role. */
  readonly launches: Readonly<Record<KernelRole, number>>;
  readonly memory: SessionMemory;
  /** Rings of a sequence, and how many of them are shorter than the longest sequence. */
  readonly rings: number;
  readonly ringsWrapped: number;
  /** Tokens of the longest sequence, at the end. */
  readonly longest: number;
  /** Largest deviation from float64, over all outputs of prefill and of decode. */
  readonly prefillError: number;
  readonly decodeError: number;
  readonly bound: number;
  /** Tiles that the prefills visited, as the emulator counted; undefined on a GPU. */
  readonly tilesVisited: number | undefined;
  /** Tiles of the causal triangle, which dense attention would visit. */
  readonly tilesCausal: number;
  /** Rows of q. */
  readonly rowsChecked: number;
}

/** Half the distance between 1 and the next larger number: the relative error of one rounding. */
const roundings: Readonly<Record<ElementType, number>> = { bf16: 2 ** -8, fp16: 2 ** -11 };

/** One sequence's q, k and v in one layer, prompt and new tokens, as the device gets them. */
interface Sequence {
  readonly q: Uint16Array;
  readonly k: Uint16Array;
  readonly v: Uint16Array;
}

export function runLayers(device: Device, plan: Plan, plainPlan: PlainPlan): Outcome {
  const { definition, elementTypes } = plan;
  const { shape } = definition;
  const { lengthBound, prompts, steps } = demo;
  const elementType = elementTypes[0]!;
  using session = plan.createSession({ batch: prompts.length, lengthBound, rope: 'none' });
  const random = randomElements(elementType);
  const [queryRow, keyRow] = [shape.queryHeads * shape.headDim, shape.kvHeads * shape.headDim];
  const inputs = definition.layers.map(() =>
    prompts.map((prompt): Sequence => {
      const tokens = prompt + steps;
      return { q: random(tokens * queryRow), k: random(tokens * keyRow), v: random(tokens * keyRow) };
    }),
  );

  const rows: Rows = { device, session, elementType, queryRow, keyRow };
  if (device.kind === 'emulator') device.resetCounters();
  const prefilled = prefillLayers(rows, inputs);
  const tilesVisited = device.kind === 'emulator' ? device.counters.tiles : undefined;
  const decoded = decodeLayers(rows, inputs);

  let [prefillError, decodeError] = [0, 0];
  inputs.forEach((sequences, layer) => {
    const windows = Array.from({ length: shape.queryHeads }, (_, head) => plainWindow(plainPlan, layer, head, lengthBound));
    sequences.forEach(({ q, k, v }, slot) => {
      const [qValues, kValues, vValues] = [q, k, v].map((bits) => decodeElements(elementType, bits)) as [Float32Array, Float32Array, Float32Array];
      const exact = plainAttention(qValues, kValues, vValues, shape, plainSink(plainPlan, layer), windows);
      const newTokens = exact.subarray(prompts[slot]! * queryRow);
      prefillError = Math.max(prefillError, largestDifference(prefilled[layer]![slot]!, exact));
      decoded[layer]!.forEach((outs, n) => (decodeError = Math.max(decodeError, largestDifference(outs[slot]!, newTokens.subarray(n * queryRow)))));
    });
  });

  const longest = Math.max(...prompts) + steps;
  const ringSpans = session.memory.layers.flatMap(({ groups }) => groups.flatMap(({ kvHeads, span }) => kvHeads.map(() => span)));
  return {
    launches: { prefill: shape.layers, append: shape.layers * (1 + steps), decode: shape.layers * steps, expand: 0 },
    memory: session.memory,
    rings: ringSpans.length,
    ringsWrapped: ringSpans.filter((span) => span < longest).length,
    longest,
    prefillError,
    decodeError,
    // Two roundings, of the probabilities and of the output, with values below 1; and room for fp32 sums.
    bound: 2 * roundings[elementType] * 1.05,
    tilesVisited,
    tilesCausal: causalTiles(definition, prompts),
    rowsChecked: prompts.reduce((sum, prompt) => sum + prompt + steps, 0) * shape.layers * shape.queryHeads,
  };
}

interface Rows {
  readonly device: Device;
  readonly session: Session;
  readonly elementType: ElementType;
  /** Elements of a token in q, and in k and v. */
  readonly queryRow: number;
  readonly keyRow: number;
}

/** The prompts of all sequences in one packed tensor, one layer after the other. Returns the outputs by layer and sequence. */
function prefillLayers({ device, session, elementType, queryRow, keyRow }: Rows, inputs: readonly (readonly Sequence[])[]): Float32Array[][] {
  const { prompts } = demo;
  const cuSeqlens = prompts.reduce<number[]>((ends, prompt) => [...ends, ends.at(-1)! + prompt], [0]);
  return inputs.map((sequences, layer) => {
    const packed = (name: keyof Sequence, row: number): DeviceBuffer => device.upload(join(sequences.map((sequence, slot) => sequence[name].subarray(0, prompts[slot]! * row))));
    using q = packed('q', queryRow);
    using k = packed('k', keyRow);
    using v = packed('v', keyRow);
    using out = device.alloc(q.bytes);
    session.prefill(layer, { q, k, v, out, cuSeqlens });
    const found = readElements(out, elementType);
    return prompts.map((_, slot) => found.subarray(cuSeqlens[slot]! * queryRow, cuSeqlens[slot + 1]! * queryRow));
  });
}

/** One step over all layers, captured once and launched for each new token. Returns the outputs by layer, step and sequence. */
function decodeLayers({ device, session, elementType, queryRow, keyRow }: Rows, inputs: readonly (readonly Sequence[])[]): Float32Array[][][] {
  const { prompts, steps } = demo;
  const alloc = (row: number): DeviceBuffer => device.alloc(prompts.length * row * 2);
  const tensors = inputs.map(() => ({ q: alloc(queryRow), k: alloc(keyRow), v: alloc(keyRow), out: alloc(queryRow) }));
  using step = session.capture(() => tensors.forEach((layerTensors, layer) => session.decode(layer, layerTensors)));
  const decoded = inputs.map((): Float32Array[][] => []);
  for (let n = 0; n < steps; n += 1) {
    inputs.forEach((sequences, layer) => {
      for (const [name, row] of [['q', queryRow], ['k', keyRow], ['v', keyRow]] as const) {
        tensors[layer]![name].write(join(sequences.map((sequence, slot) => sequence[name].subarray((prompts[slot]! + n) * row, (prompts[slot]! + n + 1) * row))));
      }
    });
    step.launch();
    tensors.forEach(({ out }, layer) => {
      const found = readElements(out, elementType);
      decoded[layer]!.push(prompts.map((_, slot) => found.subarray(slot * queryRow, (slot + 1) * queryRow)));
    });
  }
  return decoded;
}

/** Random elements from -1 to 1, the same in every run. */
function randomElements(type: ElementType): (count: number) => Uint16Array {
  let state = 2406;
  const next = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
  return (count) => encodeElements(type, Float32Array.from({ length: count }, next));
}

function join(parts: readonly Uint16Array[]): Uint16Array {
  const all = new Uint16Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

const readElements = (buffer: DeviceBuffer, type: ElementType): Float32Array => decodeElements(type, buffer.read(new Uint16Array(buffer.bytes / 2)));

/** Infinite when a value is not a number. */
function largestDifference(found: Float32Array, exact: Float64Array): number {
  let largest = 0;
  for (let n = 0; n < found.length; n += 1) {
    const difference = Math.abs(found[n]! - exact[n]!);
    if (!(difference <= largest)) largest = Number.isNaN(difference) ? Infinity : difference;
  }
  return largest;
}

/** Pages of keys that the causal mask alone would leave to the kernels. */
function causalTiles({ shape, kernels, layout }: PlanDefinition, prompts: readonly number[]): number {
  const { rows } = kernels.find((kernel) => kernel.rows > 0)!;
  let tiles = 0;
  for (const prompt of prompts) {
    for (let row = 0; row < prompt; row += rows) tiles += Math.ceil(Math.min(row + rows, prompt) / layout.pageTokens);
  }
  return tiles * shape.queryHeads * shape.layers;
}
