/**
 * Equal specialisations become one kernel that lists all its layers and architectures.
 *
 *     kernel moa_append_x for layer 0 on A; the same for layer 0 on B; the same for layer 1 on A and on B
 *   becomes
 *     kernel moa_append_x for layers 0 1 on A B
 *
 * Invariant: kernel names are unique, and kernels stand in the order of their names.
 */
import type { KernelModule, KernelNode } from '../ir/nodes.ts';
import { invariant } from '../util/invariant.ts';

export function dedupeKernels(module: KernelModule): KernelModule {
  const merged = new Map<string, { kernel: KernelNode; architectures: Set<string>; layers: Set<number> }>();
  for (const kernel of module.kernels) {
    const known = merged.get(kernel.name);
    if (known === undefined) {
      merged.set(kernel.name, { kernel, architectures: new Set(kernel.architectures), layers: new Set(kernel.layers) });
    } else {
      invariant(isSameCode(known.kernel, kernel), `kernels named ${kernel.name} are the same code`);
      kernel.architectures.forEach((name) => known.architectures.add(name));
      kernel.layers.forEach((layer) => known.layers.add(layer));
    }
  }
  const inOrder = module.kernels.every(({ name }, index) => index === 0 || module.kernels[index - 1]!.name < name);
  if (inOrder) return module;
  const kernels = [...merged.values()].map(
    ({ kernel, architectures, layers }): KernelNode => ({
      ...kernel,
      architectures: [...architectures],
      layers: [...layers].sort((a, b) => a - b),
    }),
  );
  kernels.sort((a, b) => (a.name < b.name ? -1 : 1));
  return { ...module, kernels };
}

/** Whether two kernels differ at most in where they are used. */
function isSameCode(a: KernelNode, b: KernelNode): boolean {
  return (Object.keys(a) as (keyof KernelNode)[]).every((key) => key === 'architectures' || key === 'layers' || a[key] === b[key]);
}
