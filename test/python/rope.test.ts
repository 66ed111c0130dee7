/** Frequencies and tables of RoPE are those of Node, bit for bit. */
import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { ropeFrequencies } from '../../src/ir/ropeFrequencies.ts';
import type { Rope, RopeScaling } from '../../src/ir/rope.ts';
import { buildRopeTable } from '../../src/runtime/ropeTables.ts';
import { pythonPath, torchObstacle, variables } from './support.ts';

const factors = (from: number): number[] => Array.from({ length: 32 }, (_, pair) => from + pair / 7);
const yarn = { type: 'yarn', factor: 4, betaFast: 32, betaSlow: 1, originalLength: 4096, attentionFactor: 1.1386 } as const;
const scalings: readonly RopeScaling[] = [
  { type: 'default' },
  { type: 'linear', factor: 3 },
  { type: 'dynamic', factor: 2, originalLength: 4096 },
  { type: 'llama3', factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalLength: 8192 },
  { ...yarn, truncate: true },
  { ...yarn, truncate: false },
  { type: 'longrope', shortFactors: factors(1), longFactors: factors(2), originalLength: 4096, attentionFactor: 1.19 },
];
const bounds = [1000, 10_000];

const script = `
import json, sys
from moa_compile.rope import build_table
from moa_compile.rope_frequencies import rope_frequencies
task = json.load(sys.stdin)
found = []
for scaling in task["scalings"]:
    for bound in task["bounds"]:
        frequencies = rope_frequencies({"theta": 500000, "rotaryDim": 64, "scaling": scaling}, bound)
        table = build_table(frequencies, bound)
        found.append([frequencies.inverse, frequencies.attention_factor, table.shift, table.blocks, table.values.tolist()])
print(json.dumps(found))
`;

const reason = torchObstacle();

describe.skipIf(reason !== undefined)(`RoPE in Python${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
  test('frequencies and tables of every scaling', () => {
    const { status, stdout, stderr } = spawnSync(pythonPath, ['-c', script], { input: JSON.stringify({ scalings, bounds }), encoding: 'utf8', env: variables, maxBuffer: 1 << 28 });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const wanted = scalings.flatMap((scaling) =>
      bounds.map((bound) => {
        const rope: Rope = { theta: 500_000, rotaryDim: 64, pairing: 'halves', scaling };
        const frequencies = ropeFrequencies(rope, bound);
        const { shift, blocks, values } = buildRopeTable(frequencies, bound);
        return [[...frequencies.inverseFrequencies], frequencies.attentionFactor, shift, blocks, [...values]];
      }),
    );
    const found = JSON.parse(stdout) as typeof wanted;
    for (const [index, expected] of wanted.entries()) {
      expect(found[index]!.slice(0, 4), JSON.stringify(scalings[index >> 1])).toEqual(expected.slice(0, 4));
      expect(found[index]![4], JSON.stringify(scalings[index >> 1])).toEqual(expected[4]);
    }
  });
});
