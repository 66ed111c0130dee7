import { createHash } from 'node:crypto';
import type { ParsedPlan } from '../../plan/planSchema.ts';
import { stableJson } from '../../util/stableJson.ts';
import type { Certificate } from './certificate.ts';

/** The SHA-256, in hex, of the problem that a plan is said to solve: docs/search-formats.md, "Certificate". Defaults of `limits` are filled in. */
export function instanceHash({ limits, model }: Pick<ParsedPlan, 'limits' | 'model'>, facts: Certificate['facts']): string {
  const described = model && {
    ...model.shape,
    ...(model.name === undefined ? {} : { name: model.name }),
    ...(model.elementType === undefined ? {} : { elementType: model.elementType }),
  };
  return createHash('sha256').update(stableJson({ ...facts, limits, model: described })).digest('hex');
}
