import { expect, test } from 'vitest';
import { servesText } from '../../src/cli/servesText.ts';
import { served } from '../../src/arch/serves.ts';
import { inspectGpus } from '../../src/inspectGpus.ts';
import type { KernelNode } from '../../src/ir/nodes.ts';
import { moduleOf } from '../properties/plans.ts';

const kernel = (architecture: string, sharedBytes: number) => ({ architectures: [architecture], sharedBytes }) as unknown as KernelNode;

test.each<[[string, number, boolean?][], string]>([
  [[['sm_80', 102_016]], 'for GPUs of compute capability 8.0, 8.7; not 8.6, 8.9, whose blocks have too little shared memory for it: add sm_86 to --arch'],
  [[['sm_80', 102_016, true]], 'for GPUs of compute capability 8.0, 8.7, 9.0, 10.0, 10.3; not 8.6, 8.9, 12.0, 12.1, whose blocks have too little shared memory for it: add sm_86, sm_120 to --arch'],
  [[['sm_80', 102_016], ['sm_89', 90_000]], 'for GPUs of compute capability 8.0, 8.7, 8.9; not 8.6, whose blocks have too little shared memory for it: add sm_86 to --arch'],
  [[['sm_80', 102_016], ['sm_86', 90_000]], 'for GPUs of compute capability 8.0, 8.6, 8.7, 8.9'],
])('%j', (codes, text) => {
  const serves = served(codes.map(([architecture, sharedBytes, ptx = false]) => ({ architecture, ptx, sharedBytes })));
  expect(servesText(codes.map(([name, bytes]) => kernel(name, bytes)), codes.map(([name, , ptx = false]) => ({ name, ptx })), serves)).toBe(text);
});

test('inspect says it of each architecture: sm_80 is not for GPUs with small blocks, sm_86 is', () => {
  const gpus = inspectGpus(moduleOf({ shape: 'llama3', rules: [Array.from({ length: 32 }, () => [0, 1, 1] as const)] }));
  expect(Object.fromEntries(gpus.map(({ architecture, serves }) => [architecture, serves.join(' ')]))).toMatchObject({ sm_80: '8.0 8.7', sm_86: '8.6 8.7 8.9', sm_89: '8.9', sm_90a: '9.0', sm_120: '12.0 12.1' });
});
