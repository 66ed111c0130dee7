/** For which GPUs kernels of a plan are: what `moa-compile inspect` says of architectures. */
import { architectures } from './arch/registry.ts';
import { packagedCodes, served } from './arch/serves.ts';
import type { CacheType, HeadModule, ScheduledModule } from './ir/nodes.ts';
import { maskShapes } from './mask/registry.ts';
import { pipeline } from './passes/pipeline.ts';
import { runPasses } from './passes/runPasses.ts';

export interface ArchitectureFigures {
  readonly architecture: string;
  /** The most shared memory that a block takes, over all kernels, in bytes. */
  readonly sharedBytes: number;
  /** Compute capabilities that run a package for this architecture alone. */
  readonly serves: readonly string[];
}

/** Of every architecture that kernels are compiled for, rising. */
export function inspectGpus(module: HeadModule, { cacheType = 'element', slack = 0 }: { readonly cacheType?: CacheType; readonly slack?: number } = {}): readonly ArchitectureFigures[] {
  const { page } = module.limits;
  const context = { architectures, elementTypes: ['bf16'] as const, rope: true, cacheType, slack: Math.ceil(slack / page) * page, decodeTokens: 1, ablations: [], mask: maskShapes['sinkWindow']! };
  const { kernels } = runPasses(module, pipeline, context) as ScheduledModule;
  return architectures.map(({ name }) => {
    const codes = packagedCodes(kernels, [name]);
    const { sharedBytes } = codes[0]!;
    return { architecture: name, sharedBytes, serves: served(codes) };
  });
}
