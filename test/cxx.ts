/** Builds and runs small C++ programs, with the headers that emulated kernels include. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const compiler = process.env['CXX'] ?? 'g++';
const includes = ['templates/include', 'native/emulator/include'].flatMap((folder) => ['-I', fileURLToPath(new URL(`../${folder}`, import.meta.url))]);

/** The standard output of `source`, a program that reads `input`. A warning is an error. */
export function runCxx(source: string, input: Uint8Array = new Uint8Array()): Buffer {
  const folder = mkdtempSync(join(tmpdir(), 'moa-cxx-'));
  try {
    const program = join(folder, 'program');
    execFileSync(compiler, ['-std=c++20', '-O1', '-Wall', '-Wextra', '-Werror', '-Wno-unknown-pragmas', ...includes, '-x', 'c++', '-', '-o', program], { input: source, stdio: ['pipe', 'inherit', 'inherit'] });
    return execFileSync(program, { input, maxBuffer: 1 << 28 });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
