import { execFileSync } from 'node:child_process';
export async function buildEmulatorLibrary(sourcePath: string, kernelName: string): Promise<string> {
  const out = `/tmp/k/lib_${kernelName}.so`;
  execFileSync('g++', ['-std=c++20', '-O2', '-shared', '-fPIC', '-x', 'c++', sourcePath, '-I', '/work/main/templates/include', '-I', '/work/main/native/emulator/include', '-o', out], { stdio: 'inherit' });
  return out;
}
