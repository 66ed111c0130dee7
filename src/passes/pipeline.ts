import { canonicalizeRules } from './canonicalizeRules.ts';
import { dedupeKernels } from './dedupeKernels.ts';
import { groupHeads } from './groupHeads.ts';
import { layoutKvCache } from './layoutKvCache.ts';
import type { Pass } from './pass.ts';
import { resolveGqa } from './resolveGqa.ts';
import { schedule } from './schedule.ts';
import { selectTiles } from './selectTiles.ts';

/** A list of passes in which each takes the level that the one before it gives: in a wrong order it does not compile. */
function inOrder<A, B, C, D, E, F, G, H>(
  ...passes: readonly [Step<A, B>, Step<B, C>, Step<C, D>, Step<D, E>, Step<E, F>, Step<F, G>, Step<G, H>]
): readonly Pass[] {
  return Object.freeze(passes.map(({ name, run }) => ({ name, run }) as unknown as Pass));
}

interface Step<From, To> {
  readonly name: string;
  readonly run: (module: From, context: Parameters<Pass['run']>[1]) => To;
}

/** The compiler, as one column. */
export const pipeline: readonly Pass[] = inOrder(
  { name: 'canonicalizeRules', run: canonicalizeRules },
  { name: 'resolveGqa', run: resolveGqa },
  { name: 'groupHeads', run: groupHeads },
  { name: 'layoutKvCache', run: layoutKvCache },
  { name: 'selectTiles', run: selectTiles },
  { name: 'dedupeKernels', run: dedupeKernels },
  { name: 'schedule', run: schedule },
);
