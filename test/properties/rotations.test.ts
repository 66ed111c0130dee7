/**
 * Rotation of a part of each head, and of neighbours, wherever kernels rotate: prefill, chunks,
 * decode on both units, both families, both caches.
 */
import { describe, test } from 'vitest';
import type { Rope } from '../../src/ir/rope.ts';
import type { Case } from './case.ts';
import { outputsOf } from './outputs.ts';
import type { RuleSpec } from './plans.ts';
import { Suite, target, timeout } from './suite.ts';

const dense: RuleSpec = [0, 1, 1];
const short: RuleSpec = [128, 0, 1];
const half: RuleSpec = [0, 1, 2];

const rotation = (rotaryDim: number, pairing: Rope['pairing'], more: Partial<Rope> = {}): Rope => ({
  theta: 10_000,
  rotaryDim,
  pairing,
  scaling: { type: 'default' },
  ...more,
});
/** Cos and sin are longer than 1, and frequencies are not those of a theta. */
const yarn: Rope['scaling'] = {
  type: 'yarn',
  factor: 32,
  betaFast: 32,
  betaSlow: 1,
  truncate: true,
  originalLength: 256,
  attentionFactor: 1.3465735902799727,
};

const facts = {
  bound: 420,
  multiprocessors: 8,
  lane: 'normal',
  rope: true,
  decodes: 3,
  compareWhole: true,
} as const;
const mixed = {
  ...facts,
  shape: 'bf16_d64_4x2',
  rules: [[dense, short, short, half]],
  prefill: [70, 0, 131],
} as const;
const large = {
  ...facts,
  shape: 'bf16_d128_3x1',
  rules: [[short, half, dense]],
  prefill: [131],
} as const;
const cores = { ...mixed, ablations: ['cuda-cores'] } as const;

const cases: Readonly<Record<string, Case>> = {
  'a quarter of a head': { ...mixed, rotation: rotation(16, 'halves'), seed: 31 },
  'half a head, in bulk': {
    ...mixed,
    family: 'hopper',
    rotation: rotation(32, 'halves'),
    seed: 32,
  },
  neighbours: { ...mixed, rotation: rotation(64, 'interleaved'), seed: 33 },
  'neighbours of a part of a head, in bulk': {
    ...mixed,
    family: 'hopper',
    rotation: rotation(48, 'interleaved'),
    seed: 34,
  },
  'three quarters of headDim 128, with an attention factor': {
    ...large,
    rotation: rotation(96, 'halves', { scaling: yarn }),
    seed: 35,
  },
  'a part of headDim 128 in chunks': {
    ...large,
    chunk: 50,
    rotation: rotation(80, 'halves'),
    seed: 36,
  },
  'a part of a head on CUDA cores': { ...cores, rotation: rotation(48, 'halves'), seed: 37 },
  'neighbours on CUDA cores': { ...cores, rotation: rotation(64, 'interleaved'), seed: 38 },
  'a part of headDim 128 on CUDA cores': {
    ...large,
    ablations: ['cuda-cores'],
    rotation: rotation(32, 'halves'),
    seed: 39,
  },
  'a part of a head, cache in E4M3': {
    ...mixed,
    cacheType: 'e4m3',
    compareWhole: false,
    rotation: rotation(32, 'halves'),
    seed: 40,
  },
  'neighbours of a part, cache in E4M3': {
    ...mixed,
    cacheType: 'e4m3',
    compareWhole: false,
    rotation: rotation(48, 'interleaved'),
    seed: 41,
  },
  'all of a head, YaRN': {
    ...mixed,
    rotation: rotation(64, 'halves', { scaling: yarn }),
    seed: 42,
  },
};

describe('rotations', () => {
  const suite = new Suite('rotations');

  test.each(Object.entries(cases))('%s', { timeout }, async (_, testCase) => {
    await suite.run(testCase);
  });

  test.each(['a quarter of a head', 'neighbours of a part of a head, in bulk'])(
    '%s: no bank conflicts',
    { timeout },
    async (name) => {
      await outputsOf(target, { ...cases[name]!, clean: true }, {
        device: { failOnBankConflict: true, multiprocessors: 8 },
      });
    },
  );
});
