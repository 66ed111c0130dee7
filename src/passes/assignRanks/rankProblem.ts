import type { ModelShape } from '../../ir/nodes.ts';
import type { Diagnostic } from '../../util/diagnostics.ts';

/** The diagnostics of passes (30xx). */
export const PASS_CODES = {
  MOA3001: 'There are more ranks than KV heads, so that ranks would have to keep copies of one.',
  MOA3002: 'The KV heads cannot be shared out evenly among the ranks.',
} as const;

/** Why the heads of a model cannot be shared out among so many ranks. Undefined: they can. */
export function rankProblem({ kvHeads }: Pick<ModelShape, 'kvHeads'>, ranks: number): Diagnostic | undefined {
  const possible = Array.from({ length: kvHeads }, (_, index) => index + 1).filter((count) => kvHeads % count === 0);
  if (possible.includes(ranks)) return undefined;
  const help = `ranks may be ${possible.join(', ')}`;
  if (Number.isInteger(ranks) && ranks > kvHeads) {
    return { code: 'MOA3001', severity: 'error', message: `${ranks} ranks for ${kvHeads} KV heads: ranks would have to keep copies of a KV head, as large a cache on more GPUs; this is not supported`, help };
  }
  return { code: 'MOA3002', severity: 'error', message: `${kvHeads} KV heads cannot be shared out evenly among ${ranks} ranks, and the projections of all ranks have one shape`, help };
}
