/** The products of the fixture wgmma.cu, of every shape, and what they come to. */
import { readFileSync } from 'node:fs';

import { expect } from 'vitest';

import { bytesOf, floatsOf, Kernel, seeds, Status, unwritten, type LaunchResult, type LaunchSpec } from './harness.ts';

export const kernel = new Kernel('wgmma');
const text = readFileSync(new URL('fixtures/wgmma.cu', import.meta.url), 'utf8');
const lines = text.split('\n');
export const lineOf = (mark: string): number => lines.findIndex((line) => line.includes(`// @${mark}`)) + 1;
const modes = (/enum Mode \{([^}]*)\}/.exec(text)?.[1] ?? '').split(',').map((name) => name.trim());

type Element = 'half' | 'bfloat16';
export interface Shape {
  readonly element: Element;
  readonly n: number;
  readonly d: number;
}
/** In the order of the kernel's `shape`. */
export const shapes: readonly Shape[] = [
  { element: 'half', n: 64, d: 64 },
  { element: 'half', n: 128, d: 64 },
  { element: 'half', n: 64, d: 128 },
  { element: 'half', n: 128, d: 128 },
  { element: 'bfloat16', n: 64, d: 64 },
  { element: 'bfloat16', n: 128, d: 128 },
  { element: 'half', n: 64, d: 256 },
  { element: 'bfloat16', n: 64, d: 256 },
];

/** Small integers, exact in both element types. */
export const valueOfQ = (row: number, k: number): number => ((row * 7 + k * 3 + (row >> 3)) % 15) - 7;
export const valueOfK = (n: number, k: number): number => ((n * 5 + k * 11 + (k >> 4)) % 13) - 6;
const valueOfP = (row: number, n: number): number => ((row * 3 + n * 13 + (n >> 5)) % 11) - 5;
const valueOfV = (n: number, d: number): number => ((n * 9 + d * 4 + (d >> 6) * 2) % 17) - 8;

function bitsOf(element: Element, value: number): number {
  const bits = new Uint32Array(new Float32Array([value]).buffer)[0] as number;
  if (element === 'bfloat16') return bits >>> 16;
  if (value === 0) return 0;
  return ((bits >>> 16) & 0x8000) | ((((bits >>> 23) & 0xff) - 112) << 10) | ((bits >>> 13) & 0x3ff);
}

function tile(element: Element, rows: number, columns: number, value: (row: number, column: number) => number): Uint8Array {
  return bytesOf(Uint16Array.from({ length: rows * columns }, (_, i) => bitsOf(element, value(Math.floor(i / columns), i % columns))));
}

export function spec(mode: string, shape = 0): LaunchSpec {
  const i32 = modes.indexOf(mode);
  if (i32 < 0) throw new Error(`the fixture has no mode ${mode}`);
  const { element, n, d } = shapes[shape] as Shape;
  const inputs = [tile(element, 64, d, valueOfQ), tile(element, n, d, valueOfK), tile(element, 64, n, valueOfP), tile(element, n, d, valueOfV)];
  return {
    buffers: [...inputs, unwritten(64 * n * 4), unwritten(64 * d * 4)],
    params: [...[0, 1, 2, 3, 4, 5].map((buffer) => ({ buffer })), { i32 }, { i32: shape }],
    threads: 160,
    sharedBytes: (64 + 2 * n) * d * 2 + 16,
    findingCapacity: 256,
  };
}

/** Integers, so that the order of the sum does not matter. */
export function product(columns: number, inner: number, a: (row: number, k: number) => number, b: (k: number, column: number) => number, start: number): Float32Array {
  return Float32Array.from({ length: 64 * columns }, (_, i) => {
    let sum = start;
    for (let k = 0; k < inner; k++) sum += a(Math.floor(i / columns), k) * b(k, i % columns);
    return sum;
  });
}
export const scores = ({ n, d }: Shape): Float32Array => product(n, d, valueOfQ, (k, column) => valueOfK(column, k), 0);
export const outputs = ({ n, d }: Shape): Float32Array => product(d, n, valueOfP, valueOfV, 1);
export const s = (result: LaunchResult): Float32Array => floatsOf(result.buffers[4] as Buffer);
export const o = (result: LaunchResult): Float32Array => floatsOf(result.buffers[5] as Buffer);

/** Each shape, with Q in shared memory and in registers. */
export const forms = ['kRight', 'kQueriesHeld'].flatMap((mode) => shapes.map((shape, index) => ({ mode, ...shape, index })));

/** One form gives the right products, whatever the seed. */
export function expectProducts({ mode, index, ...shape }: (typeof forms)[number]): void {
  for (const result of kernel.launches(spec(mode, index), seeds(20))) {
    expect(result).toMatchObject({ status: Status.ok, findings: [] });
    expect(result.counters['wgmma']).toBe(4 * (shape.d / 16 + shape.n / 16));
    expect(s(result)).toEqual(scores(shape));
    expect(o(result)).toEqual(outputs(shape));
  }
}
