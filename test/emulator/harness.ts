/**
 * Compiles a fixture kernel for the emulator and runs launches of it through `fixtures/driver.cpp`. Libraries are cached in the system's
 * temporary folder under a hash of all that goes into them, so a second test run compiles nothing.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
const fixtures = join(root, 'test/emulator/fixtures');
const compiler = process.env['CXX'] ?? 'g++';
const kernelFlags = ['-std=c++20', '-Wall', '-Wextra', '-Werror', '-fPIC'];

/** Names as in `native/emulator/abi.h`. */
export const Status = { ok: 0, wrongAbi: 1, wrongParamsBytes: 2, badShape: 3, aborted: 4 } as const;

export interface Finding {
  readonly kind: string;
  readonly message: string;
}

export interface LaunchResult {
  readonly status: number;
  readonly findingCount: number;
  readonly findings: readonly Finding[];
  readonly counters: Readonly<Record<string, number>>;
  /** The content of each buffer after the launch. */
  readonly buffers: readonly Buffer[];
}

/** A `TensorMapImage` of `native/emulator/abi.h`, of a matrix that begins at byte `offset` of a buffer. */
export interface TensorMap {
  readonly buffer: number;
  readonly offset: number;
  readonly rows: number;
  readonly columns: number;
  readonly rowBytes: number;
  readonly boxRows: number;
  readonly magic?: bigint;
}

/** A parameter: a number of 32 bits, a pointer to byte `offset` of a buffer, or a tensor map. Each is aligned as C++ does. */
export type Param = { readonly i32: number } | { readonly buffer: number; readonly offset?: number } | { readonly map: TensorMap };

export interface LaunchSpec {
  readonly buffers: readonly Uint8Array[];
  readonly params: readonly Param[];
  readonly grid?: number;
  readonly threads: number;
  readonly sharedBytes?: number;
  readonly findingCapacity?: number;
  readonly failOnBankConflict?: boolean;
  readonly programmatic?: boolean;
  /** The parameters of a plain launch that runs first, on the same buffers. Its findings are not told. */
  readonly before?: readonly Param[];
}

export const seeds = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

function headerFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

/** Builds `output` unless it is there already. The rename makes it appear whole, also when two test files build the same one. */
function build(source: string, inputs: readonly string[], flags: readonly string[], extension: string, linked: readonly string[] = []): string {
  const hash = createHash('sha256').update(JSON.stringify([compiler, flags]));
  for (const input of [source, ...inputs, ...linked]) hash.update(input).update(readFileSync(input));
  const folder = join(tmpdir(), 'moa-emulator-tests');
  mkdirSync(folder, { recursive: true });
  const output = join(folder, hash.digest('hex').slice(0, 32) + extension);
  if (!existsSync(output)) {
    const partial = `${output}.${process.pid}`;
    execFileSync(compiler, [...flags, '-x', 'c++', source, ...(linked.length > 0 ? ['-x', 'none', ...linked] : []), '-o', partial], { stdio: ['ignore', 'inherit', 'inherit'] });
    renameSync(partial, output);
  }
  return output;
}

/** The project's own headers that a source includes, and those that they include. */
function includedHeaders(source: string, found = new Set<string>()): Set<string> {
  for (const [, name] of readFileSync(source, 'utf8').matchAll(/^#include <(moa\/[^>]+)>/gm)) {
    const header = join(root, 'templates/include', name!);
    if (found.has(header) || !existsSync(header)) continue;
    found.add(header);
    includedHeaders(header, found);
  }
  return found;
}

export class Kernel {
  readonly library: string;
  readonly #name: string;
  readonly #driver: string;

  /** Compiles `fixtures/<name>.cu`, whose kernel is called `name`. */
  constructor(name: string, extraFlags: readonly string[] = []) {
    const include = join(root, 'native/emulator/include');
    const abi = join(root, 'native/emulator/abi.h');
    const flags = [...kernelFlags, ...extraFlags, '-I', join(root, 'templates/include'), '-I', include];
    const inputs = [...headerFiles(include), abi];
    const engine = build(join(root, 'native/emulator/engine.cpp'), inputs, [...flags, '-O2', '-c'], '.o');
    const source = join(fixtures, `${name}.cu`);
    this.library = build(source, [...inputs, ...includedHeaders(source)], [...flags, '-O1', '-shared'], '.so', [engine]);
    this.#driver = build(join(fixtures, 'driver.cpp'), [abi], ['-std=c++20', '-O1', '-pthread'], '.out');
    this.#name = name;
  }

  launch(spec: LaunchSpec, seed: number): LaunchResult {
    const [result] = this.launches(spec, [seed]);
    if (result === undefined) throw new Error('the driver printed no result');
    return result;
  }

  /** One launch for each seed, in one process, each on fresh copies of the buffers. */
  launches(spec: LaunchSpec, withSeeds: readonly number[]): LaunchResult[] {
    return this.#run(spec, withSeeds.map((seed) => `launch ${seed}`)).map(parseResult);
  }

  /** The same launch on several operating-system threads at once. */
  parallel(spec: LaunchSpec, seed: number, threads: number): LaunchResult[] {
    return this.#run(spec, [`parallel ${seed} ${threads}`]).map(parseResult);
  }

  /** Nanoseconds of each launch. */
  time(spec: LaunchSpec, repeats: number): number[] {
    return this.#run(spec, [`time ${repeats}`]).flatMap((line) => JSON.parse(line) as number[]);
  }

  #run(spec: LaunchSpec, commands: readonly string[]): string[] {
    const { params, pointers } = packParams(spec.params);
    const conflicts = Number(spec.failOnBankConflict ?? false);
    const script = [
      ...spec.buffers.map((bytes) => `buffer ${Buffer.from(bytes).toString('hex')}`),
      `params ${params.toString('hex')}`,
      ...(spec.before === undefined ? [] : [`before ${packParams(spec.before).params.toString('hex')}`]),
      ...pointers,
      ['shape', spec.grid ?? 1, spec.threads, spec.sharedBytes ?? 0, spec.findingCapacity ?? 16, conflicts, Number(spec.programmatic ?? false)].join(' '),
      ...commands,
    ];
    const input = `${script.join('\n')}\n`;
    const output = execFileSync(this.#driver, [this.library, this.#name], { input, maxBuffer: 1 << 28, timeout: 60_000 });
    return output.toString('utf8').trim().split('\n');
  }
}

const tensorMapBytes = 128;
const tensorMapMagic = 0x4d4f412d544d4150n;

function packParams(params: readonly Param[]): { params: Buffer; pointers: string[] } {
  const bytes = Buffer.alloc(params.length * tensorMapBytes + 64);
  const pointers: string[] = [];
  let at = 0;
  let alignment = 4;
  const place = (size: number, aligned: number): number => {
    alignment = Math.max(alignment, aligned);
    const start = Math.ceil(at / aligned) * aligned;
    at = start + size;
    return start;
  };
  for (const param of params) {
    if ('map' in param) {
      const { buffer, offset, rows, columns, rowBytes, boxRows, magic = tensorMapMagic } = param.map;
      const start = place(tensorMapBytes, 64);
      bytes.writeBigUInt64LE(magic, start);
      pointers.push(`pointer ${start + 8} ${buffer} ${offset}`);
      [rows, columns, rowBytes].forEach((value, i) => bytes.writeBigUInt64LE(BigInt(value), start + 16 + i * 8));
      bytes.writeUInt32LE(boxRows, start + 40);
    } else if ('buffer' in param) {
      pointers.push(`pointer ${place(8, 8)} ${param.buffer} ${param.offset ?? 0}`);
    } else {
      bytes.writeInt32LE(param.i32, place(4, 4));
    }
  }
  return { params: bytes.subarray(0, Math.ceil(at / alignment) * alignment), pointers };
}

function parseResult(line: string): LaunchResult {
  const parsed = JSON.parse(line) as Omit<LaunchResult, 'buffers'> & { readonly buffers: readonly string[] };
  return { ...parsed, buffers: parsed.buffers.map((hex) => Buffer.from(hex, 'hex')) };
}

/** `count` bytes of NaN, as outputs start. */
export const unwritten = (bytes: number): Uint8Array => new Uint8Array(bytes).fill(0xff);
export const bytesOf = (array: Float32Array | Uint32Array | Int32Array | Uint16Array): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
/** Copies, because a Buffer may lie at any offset. */
export const floatsOf = (bytes: Uint8Array): Float32Array => new Float32Array(Uint8Array.from(bytes).buffer);
export const wordsOf = (bytes: Uint8Array): Uint32Array => new Uint32Array(Uint8Array.from(bytes).buffer);
export const shortsOf = (bytes: Uint8Array): Uint16Array => new Uint16Array(Uint8Array.from(bytes).buffer);
