/** tensor-parallel.json as a loader reads it: projections cut with it give what the whole ones give. */
import { expect, test } from 'vitest';
import { tensorParallelFile } from '../../src/emit/tensorParallelFile.ts';
import { assignRanks } from '../../src/passes/assignRanks.ts';
import { randomOf } from '../random.ts';
import { readHeadModule } from '../ir/readHeadModule.ts';

const module = readHeadModule(`
  shape layers=2 queryHeads=12 kvHeads=6 headDim=2
  layer 0: 6 x N | 6 x 128
  layer 1: N | 128 | 4 x 256 | 2 x 1/2*N | 2 x N | 128 | 128
`);

interface File {
  readonly model: { readonly headDim: number };
  readonly packages: readonly string[];
  readonly layers: readonly { readonly kvHeads: readonly (readonly number[])[]; readonly queryHeads: readonly (readonly number[])[] }[];
}
type Matrix = readonly (readonly number[])[];

const hidden = 5;
const apply = (weights: Matrix, input: readonly number[]): number[] => weights.map((row) => row.reduce((sum, value, at) => sum + value * input[at]!, 0));

/** What a layer adds: each query head gives a number of its own of its query, key and value. Integers, so that the order of sums does not matter. */
function layerOutput({ q, k, v, o }: Record<'q' | 'k' | 'v' | 'o', Matrix>, input: readonly number[], headDim: number, groupSize: number): number[] {
  const [queries, keys, values] = [apply(q, input), apply(k, input), apply(v, input)];
  return apply(o, queries.map((query, at) => {
    const of = Math.floor(at / headDim / groupSize) * headDim + (at % headDim);
    return query * keys[of]! + values[of]!;
  }));
}

test.each([1, 2, 3, 6])('%i ranks: rows of q, k and v and columns of o, in the order of the file, add up to the whole', (ranks) => {
  const assignment = assignRanks(module, ranks);
  const { model, layers, packages } = JSON.parse(tensorParallelFile(module.shape, assignment)) as File;
  const { headDim } = model;
  const random = randomOf(ranks);
  const matrix = (rows: number, columns: number): number[][] => Array.from({ length: rows }, () => Array.from({ length: columns }, () => Math.floor(random() * 19) - 9));
  const input = matrix(1, hidden)[0]!;
  const blocks = (heads: readonly number[]): number[] => heads.flatMap((head) => Array.from({ length: headDim }, (_, at) => head * headDim + at));
  expect(packages).toHaveLength(ranks);
  if (ranks === 2 || ranks === 3) expect(layers[0]!.kvHeads.flat()).not.toEqual([0, 1, 2, 3, 4, 5]);
  for (const { kvHeads, queryHeads } of layers) {
    const whole = { q: matrix(12 * headDim, hidden), k: matrix(6 * headDim, hidden), v: matrix(6 * headDim, hidden), o: matrix(hidden, 12 * headDim) };
    const parts = kvHeads.map((own, rank) => {
      const [queries, keys] = [blocks(queryHeads[rank]!), blocks(own)];
      const cut = { q: queries.map((row) => whole.q[row]!), k: keys.map((row) => whole.k[row]!), v: keys.map((row) => whole.v[row]!), o: whole.o.map((row) => queries.map((column) => row[column]!)) };
      return layerOutput(cut, input, headDim, 2);
    });
    expect(parts.reduce((sums, part) => sums.map((sum, at) => sum + part[at]!))).toEqual(layerOutput(whole, input, headDim, 2));
  }
});
