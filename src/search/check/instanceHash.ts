import { createHash } from 'node:crypto';
import type { SpanLimits } from '../../ir/rule.ts';
import type { DescribedModel } from '../../plan/planSchema.ts';
import { stableJson } from '../../util/stableJson.ts';
import type { Certificate } from './certificate.ts';

/** The SHA-256, in hex, of the problem that a plan is said to solve: docs/search-formats.md, "Certificate". Defaults of `limits` are filled in. */
export function instanceHash({ limits, model }: { readonly limits: SpanLimits; readonly model?: Pick<DescribedModel, 'shape' | 'name' | 'elementType' | 'windows'> }, facts: Certificate['facts']): string {
  const described = model && {
    ...model.shape,
    ...(model.name === undefined ? {} : { name: model.name }),
    ...(model.elementType === undefined ? {} : { elementType: model.elementType }),
    ...(model.windows === undefined ? {} : { windows: model.windows }),
  };
  return createHash('sha256').update(stableJson({ ...facts, limits, model: described })).digest('hex');
}
