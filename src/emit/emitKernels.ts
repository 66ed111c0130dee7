import { readdirSync, readFileSync } from 'node:fs';
import type { ScheduledModule } from '../ir/nodes.ts';
import type { MaskFamily } from '../mask/mask.ts';
import { plannerEntries } from '../kernels/planners.ts';
import { kernelContext, plannerContext } from './kernelContext.ts';
import { kernelSourcePath } from './planDefinition.ts';
import { renderKernel, renderPlanner, templatesFolder } from './templateEngine.ts';

/** The path of the translation unit that holds all kernels of one architecture. */
export const unitPath = (architecture: string): string => `kernels/all.${architecture}.cu`;

/** The paths of an architecture's machine code, and of all architectures' together. */
export const cubinPath = (architecture: string): string => `cubin/${architecture}.cubin`;
export const fatbinPath = 'cubin/all.fatbin';

/** Every CUDA source of a package, by path: one file a kernel, one unit an architecture, and the headers they include. */
export function emitKernels(module: ScheduledModule, mask: MaskFamily): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  for (const kernel of module.kernels) files.set(kernelSourcePath(kernel.name), renderKernel(kernel, kernelContext(kernel, mask)));
  for (const [role, planner] of plannerEntries) files.set(kernelSourcePath(planner.name), renderPlanner(role, plannerContext(planner, module, mask)));
  for (const architecture of new Set(module.kernels.flatMap((kernel) => kernel.architectures))) {
    const names = module.kernels.filter((kernel) => kernel.architectures.includes(architecture)).map((kernel) => kernel.name);
    files.set(unitPath(architecture), unitText(architecture, [...names, ...plannerEntries.map(([, { name }]) => name)]));
  }
  for (const [path, text] of headers()) files.set(`include/${path}`, text);
  return files;
}

function unitText(architecture: string, names: readonly string[]): string {
  return [
    `// Every kernel of this plan for ${architecture}, as one translation unit:`,
    `//     nvcc -cubin -arch=${architecture} -std=c++20 -O3 -I include ${unitPath(architecture)}`,
    ...names.map((name) => `#include "${name}.cu"`),
    '',
  ].join('\n');
}

let headerFiles: ReadonlyMap<string, string> | undefined;

/** The headers that nvcc needs, by path below the include folder: algorithms and primitives. Read once. */
function headers(): ReadonlyMap<string, string> {
  headerFiles ??= new Map(
    ['include', 'cuda'].flatMap((root) =>
      readdirSync(`${templatesFolder}${root}`, { recursive: true, encoding: 'utf8' })
        .filter((path) => path.endsWith('.cuh'))
        .sort()
        .map((path) => [path, readFileSync(`${templatesFolder}${root}/${path}`, 'utf8')] as const),
    ),
  );
  return headerFiles;
}
