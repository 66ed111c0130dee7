/**
 * A search by query head, as MoA's, at equal real bytes: a KV head has to keep the longest span of its query heads, so the plan costs more than it was bounded
 * to. The bound is lowered until what is kept is within the density asked for, at every length.
 *
 *     node dist-bench/search/equalBytes.js profile.safetensors plan.json --density 0.25 [--extend 4096] [--alpha-step 128]
 */
import { parseArgs } from 'node:util';
import { influenceOf } from '../../dist/search/instance.js';
import { planText, rulesOf } from '../../dist/search/planFile.js';
import { readProfile } from '../../dist/search/profile/readProfile.js';
import type { SearchRequest } from '../../dist/search/request.js';
import { bestPlan, instanceOf } from '../../dist/search/searchPlans.js';
import type { FrontPoint } from '../../dist/search/front.js';
import { writeWhole } from '../../dist/search/workFolder.js';
import { spanOf } from '../../dist/ir/affine.js';
import { DiagnosticError, DiagnosticList } from '../../dist/util/diagnostics.js';

const { values, positionals } = parseArgs({ options: { density: { type: 'string', default: '0.25' }, extend: { type: 'string' }, 'alpha-step': { type: 'string' } }, allowPositionals: true });
const [profilePath, output] = positionals;
if (profilePath === undefined || output === undefined) throw new Error('usage: equalBytes profile.safetensors plan.json --density 0.25');
const diagnostics = new DiagnosticList();
const found = await readProfile(profilePath, diagnostics);
if (found === undefined) throw new DiagnosticError(diagnostics.toArray(), 2);
const profile = found;
const profiled = profile.lengths.map(({ length }) => length);
const lengths = [...profiled, ...(values.extend === undefined ? [] : values.extend.split(',').map(Number))];
const density = Number(values.density);
const limits = { sink: 64, page: 64, minSpan: 128 };

const requestFor = (bounds: readonly number[]): SearchRequest => ({
  granularity: 'query-head',
  rulesPerLayer: 2,
  limits,
  ...(values['alpha-step'] === undefined ? {} : { alphaStep: Number(values['alpha-step']) }),
  objectives: lengths.map((length) => ({ length, weight: 1 })),
  constraints: lengths.map((length, n) => ({ kind: 'density', length, bound: bounds[n]! })),
  gap: 1e-4,
  exact: true,
});

const instance = instanceOf(influenceOf(profile, 1), requestFor(lengths.map(() => density)), diagnostics);
if (instance === undefined) throw new DiagnosticError(diagnostics.toArray(), 2);
const { model } = profile;
const group = model.queryHeads / model.kvHeads;

/** What the rings keep: the longest span of each KV head's query heads. */
function kept(plan: FrontPoint, length: number): number {
  const spans = rulesOf(instance!, plan).flatMap((layer) => Array.from({ length: model.kvHeads }, (_, head) => Math.max(...layer.slice(head * group, (head + 1) * group).map((rule) => spanOf(rule, limits, length, null)))));
  return spans.reduce((sum, span) => sum + Math.min(span, length), 0) / (spans.length * length);
}

// Each length's bound falls by what its rings keep too much, until all hold; then by halves back up along the line to where they began.
const least = lengths.map((length) => Math.min(...instance.candidates.map((rule) => Math.min(spanOf(rule, limits, length, null), length) / length)));
const at = (part: number): number[] => least.map((bound) => bound + part * Math.max(0, density - bound));
let [low, high] = [0, 1];
let best: { plan: FrontPoint; request: SearchRequest } | undefined;
for (let step = 0; step < 12; step += 1) {
  const part = step === 0 ? 1 : (low + high) / 2;
  const request = requestFor(at(part));
  const plan = await bestPlan(instance, request);
  if (lengths.every((length) => kept(plan, length) <= density + 1e-9)) {
    best = { plan, request };
    low = part;
    if (part === 1) break;
  } else high = part;
}
if (best === undefined) throw new Error(`no plan by query head keeps ${density} or less`);
const facts = { model, sha256: profile.sha256, lengths: profiled };
writeWhole(output, planText(instance, best.request, best.plan, facts, { reason: `bounded so that the longest spans of groups keep at most ${density}` }));
console.log(`${output}: bounds ${best.request.constraints.map(({ bound }) => bound.toFixed(4)).join(', ')}; kept ${lengths.map((length) => kept(best.plan, length).toFixed(4)).join(', ')} at ${lengths.join(', ')}`);
