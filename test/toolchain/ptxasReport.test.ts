import { expect, test } from 'vitest';
import { parsePtxasReport } from '../../src/toolchain/ptxasReport.ts';

test('the output of CUDA 13.0 for two kernels, one of which spills', () => {
  const text = `ptxas warning : Local memory used for function 'spill', size of stack frame: 288 bytes
ptxas warning : Registers are spilled to local memory in function 'spill', 556 bytes spill stores, 592 bytes spill loads
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'st' for 'sm_80'
ptxas info    : Function properties for st
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 31 registers, used 1 barriers, 1024 bytes smem, 364 bytes cmem[0]
ptxas info    : Compile time = 6.262 ms
ptxas info    : Compiling entry function 'spill' for 'sm_80'
ptxas info    : Function properties for spill
    288 bytes stack frame, 556 bytes spill stores, 592 bytes spill loads
ptxas info    : Used 32 registers, used 0 barriers, 288 bytes cumulative stack size, 364 bytes cmem[0]
ptxas info    : Compile time = 19.216 ms`;
  expect(parsePtxasReport(text)).toEqual({
    functions: [
      { name: 'spill', registers: 32, barriers: 0, sharedBytes: 0, stackBytes: 288, spillStoreBytes: 556, spillLoadBytes: 592 },
      { name: 'st', registers: 31, barriers: 1, sharedBytes: 1024, stackBytes: 0, spillStoreBytes: 0, spillLoadBytes: 0 },
    ],
    remarks: [
      "ptxas warning : Local memory used for function 'spill', size of stack frame: 288 bytes",
      "ptxas warning : Registers are spilled to local memory in function 'spill', 556 bytes spill stores, 592 bytes spill loads",
    ],
  });
});

test('older versions do not count barriers, and functions that are not kernels have no registers', () => {
  const text = `ptxas info    : Compiling entry function 'k' for 'sm_80'
ptxas info    : Function properties for k
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 12 registers, 352 bytes cmem[0]
ptxas info    : Function properties for _Z6helperv
    8 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads`;
  const [helper, kernel] = parsePtxasReport(text).functions;
  expect(helper).toEqual({ name: '_Z6helperv', sharedBytes: 0, stackBytes: 8, spillStoreBytes: 0, spillLoadBytes: 0 });
  expect(kernel).toMatchObject({ name: 'k', registers: 12, barriers: 0 });
});

test('no output, no functions', () => {
  expect(parsePtxasReport('')).toEqual({ functions: [], remarks: [] });
});
