import type { CacheType, HeadModule } from '../../ir/nodes.ts';
import type { Diagnostic } from '../../util/diagnostics.ts';

/**
 * Why decode cannot rotate as the model does with such a cache. Undefined: it can. With a cache of
 * 8 bits a lane of a warp holds four neighbours of a query, so both elements of a pair lie in one
 * lane where their distance is a multiple of 16 elements.
 */
export function ropeProblem(
  { rope }: Pick<HeadModule, 'rope'>,
  cacheType: CacheType | undefined,
): Diagnostic | undefined {
  const found = rope?.ropes.find(
    ({ rotaryDim, pairing }) => pairing === 'halves' && rotaryDim % 32 !== 0,
  );
  if (cacheType !== 'e4m3' || found === undefined) return undefined;
  const message = `${found.rotaryDim} elements of a head turn; with a cache in E4M3 kernels turn a multiple of 32 in halves`;
  return {
    code: 'MOA1404',
    severity: 'error',
    message,
    help: 'keep the cache in 16 bits, or compile with --no-rope and rotate q and k before they reach a session',
  };
}
