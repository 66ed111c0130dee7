import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const sources = fileURLToPath(new URL('.', import.meta.url));
const includes = fileURLToPath(new URL('../../../native', import.meta.url));

function compile(source: string, output: string, flags: readonly string[] = []): void {
  const compiler = process.env['CXX'] ?? 'g++';
  execFileSync(compiler, ['-std=c++20', '-O0', '-shared', '-fPIC', `-I${includes}`, ...flags, join(sources, source), '-o', output, '-ldl']);
}

/** The fake driver in a folder of its own, with the file that steers it. */
export class FakeCuda {
  readonly folder = mkdtempSync(join(tmpdir(), 'moa-fake-cuda-'));
  readonly library = join(this.folder, 'libcuda.so.1');

  constructor(flags: readonly string[] = []) {
    compile('fakeCuda.cpp', this.library, flags);
  }

  /** What the driver does from now on: errors by function, or `version`, `devices`, `memory`. */
  control(lines: Readonly<Record<string, number>>): void {
    const text = Object.entries(lines).map(([name, value]) => `${name} ${value}\n`);
    writeFileSync(join(this.folder, 'control.txt'), text.join(''));
  }

  /** How often each function was called since `forgetCalls`. */
  calls(): Map<string, number> {
    const counts = new Map<string, number>();
    for (const name of readFileSync(join(this.folder, 'calls.log'), 'utf8').split('\n')) counts.set(name, (counts.get(name) ?? 0) + 1);
    return counts;
  }

  forgetCalls(): void {
    writeFileSync(join(this.folder, 'calls.log'), '');
  }

  remove(): void {
    rmSync(this.folder, { recursive: true });
  }
}

/** The driver's functions that wait for what was started, or ask how far it has come. */
export const waitingFunctions: ReadonlySet<string> = new Set([
  'cuStreamSynchronize',
  'cuEventSynchronize',
  'cuEventElapsedTime',
  'cuMemcpyDtoHAsync',
]);

/** The kernel library in a folder of its own. */
export class FakeKernels {
  readonly folder = mkdtempSync(join(tmpdir(), 'moa-fake-kernels-'));
  readonly library = join(this.folder, 'kernels.so');

  constructor() {
    compile('fakeKernels.cpp', this.library);
  }

  remove(): void {
    rmSync(this.folder, { recursive: true });
  }
}

/** An image that the fake driver takes when `capability` is 90. */
export function fakeCubin(capability = 90): Uint8Array {
  const image = new Uint8Array(64);
  image.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  new DataView(image.buffer).setUint32(48, capability, true);
  return image;
}

/** The parameters of the fakes' `fill`, `smash` and `seed`. */
export function fillParams(address: bigint, count = 0, value = 0): Uint8Array {
  const params = new DataView(new ArrayBuffer(16));
  params.setBigUint64(0, address, true);
  params.setUint32(8, count, true);
  params.setUint32(12, value, true);
  return new Uint8Array(params.buffer);
}
