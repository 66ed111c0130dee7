import { MAX_ALPHA, type ParsedPlan } from '../../plan/planSchema.ts';
import { fractionOf } from '../../plan/spanRule.ts';
import type { DiagnosticList } from '../../util/diagnostics.ts';
import type { JsonValue } from '../../util/jsonReader.ts';
import { FieldReader, type JsonRecord } from '../fields.ts';
import { readLatencyTable } from '../latencyTable.ts';
import { MAX_CANDIDATES, MAX_CONSTRAINTS, MAX_LENGTHS, MAX_RULES_PER_LAYER, type Candidate, type Certificate, type Constraint } from './certificate.ts';
import { latencyTableLimits } from './latencyTimes.ts';

const CODES = { key: 'MOA7203', value: 'MOA7204', format: 'MOA7202' } as const;
const KEYS = ['format', 'version', 'profile', 'granularity', 'rulesPerLayer', 'candidates', 'objective', 'constraints', 'multipliers', 'lowerBound', 'value', 'instance'] as const;
const ANY = { min: -Number.MAX_VALUE, max: Number.MAX_VALUE };
const NOT_NEGATIVE = { min: 0, max: Number.MAX_VALUE };
const LENGTH = { min: 64, max: 2 ** 27 };
/** As in profiles. */
const PROFILED_LENGTH = { min: 64, max: 2 ** 17 };

/** Reads the certificate of `plan`. Reports all that is wrong with its form; whether it is true is for `checkPlan`. */
export function readCertificate(plan: ParsedPlan, diagnostics: DiagnosticList): Certificate | undefined {
  const before = diagnostics.errorCount;
  const fields = new FieldReader(plan.file, CODES, diagnostics);
  if (plan.certificate === undefined) return fields.error('MOA7201', 'certificate', 'the plan has no certificate', 'only plans of moa-compile search have one');
  const at = (key: string): string => `certificate.${key}`;
  const claims = plan.certificate as JsonRecord;
  if (!fields.format(claims, 'certificate', 'moa-certificate', 1)) return undefined;
  const root = fields.object(claims, 'certificate', KEYS, ['exact'])!;
  const profile = readProfileFacts(fields, root['profile']);
  const granularity = fields.choice(root['granularity'], at('granularity'), ['kv-head', 'query-head']);
  const rulesPerLayer = fields.integer(root['rulesPerLayer'], at('rulesPerLayer'), { min: 0, max: MAX_RULES_PER_LAYER });
  const candidates = fields.every(fields.array(root['candidates'], at('candidates'), { min: 1, max: MAX_CANDIDATES }), at('candidates'), (item, path) => readCandidate(fields, item, path));
  const objective = fields.every(fields.array(root['objective'], at('objective'), { min: 1, max: MAX_LENGTHS }), at('objective'), (item, path) => readGoal(fields, item, path));
  const constraints = fields.every(fields.array(root['constraints'], at('constraints'), { min: 0, max: MAX_CONSTRAINTS }), at('constraints'), (item, path) => readConstraint(fields, item, path));
  // Negative ones are read: the check names them.
  const multipliers = fields.every(fields.array(root['multipliers'], at('multipliers'), { min: 0, max: MAX_CONSTRAINTS }), at('multipliers'), (item, path) => fields.number(item, path, ANY));
  const lowerBound = fields.number(root['lowerBound'], at('lowerBound'), ANY);
  const value = fields.number(root['value'], at('value'), NOT_NEGATIVE);
  const exact = root['exact'] === undefined ? undefined : readExact(fields, root['exact']);
  const instance = fields.text(root['instance'], at('instance'), /^[0-9a-f]{64}$/, 'a SHA-256 in hex');
  if (diagnostics.errorCount > before) return undefined;
  if (profile === undefined || granularity === undefined || rulesPerLayer === undefined || candidates === undefined || objective === undefined) return undefined;
  if (constraints === undefined || multipliers === undefined || lowerBound === undefined || value === undefined || instance === undefined) return undefined;

  const { candidates: rules, constraints: limits, granularity: heads, objective: goals, profile: source, rulesPerLayer: perLayer } = root;
  const facts = { candidates: rules!, constraints: limits!, granularity: heads!, objective: goals!, profile: source!, rulesPerLayer: perLayer! };
  const certificate = { profile, granularity, rulesPerLayer, candidates, objective, constraints, multipliers, lowerBound, value, instance, facts, ...(exact === undefined ? {} : { exact }) };
  checkParts(fields, plan, certificate);
  return diagnostics.errorCount > before ? undefined : certificate;
}

function readProfileFacts(fields: FieldReader, value: JsonValue | undefined): Certificate['profile'] | undefined {
  const path = 'certificate.profile';
  const profile = fields.object(value, path, ['sha256', 'lengths']);
  const sha256 = fields.text(profile?.['sha256'], `${path}.sha256`, /^[0-9a-f]{64}$/, 'a SHA-256 in hex');
  const lengths = fields.every(fields.array(profile?.['lengths'], `${path}.lengths`, { min: 1, max: MAX_LENGTHS }), `${path}.lengths`, (item, at) => readTokens(fields, item, at, PROFILED_LENGTH));
  if (lengths?.some((length, index) => index > 0 && length <= lengths[index - 1]!) === true) return fields.error('MOA7204', `${path}.lengths`, 'the lengths do not rise');
  return sha256 === undefined || lengths === undefined ? undefined : { sha256, lengths };
}

/** A length: whole pages of 64 tokens. */
function readTokens(fields: FieldReader, value: JsonValue | undefined, path: string, range = LENGTH): number | undefined {
  const length = fields.integer(value, path, range);
  return length === undefined || length % 64 === 0 ? length : fields.error('MOA7204', path, `${length} is not a multiple of 64`);
}

function readCandidate(fields: FieldReader, value: JsonValue, path: string): Candidate | undefined {
  const pair = fields.array(value, path, { min: 2, max: 2 });
  const alpha = fields.integer(pair?.[0], `${path}[0]`, { min: -MAX_ALPHA, max: MAX_ALPHA });
  const beta = fields.number(pair?.[1], `${path}[1]`, { min: 0, max: 1 });
  if (alpha === undefined || beta === undefined) return undefined;
  const { numerator, denominator } = fractionOf(beta);
  return { alpha, beta, numerator, denominator };
}

function readGoal(fields: FieldReader, value: JsonValue, path: string): Certificate['objective'][number] | undefined {
  const goal = fields.object(value, path, ['length', 'weight']);
  const length = readTokens(fields, goal?.['length'], `${path}.length`);
  const weight = fields.number(goal?.['weight'], `${path}.weight`, NOT_NEGATIVE);
  return length === undefined || weight === undefined ? undefined : { length, weight };
}

function readConstraint(fields: FieldReader, value: JsonValue, path: string): Constraint | undefined {
  const latency = typeof value === 'object' && value !== null && 'kind' in value && value['kind'] === 'latency';
  const constraint = fields.object(value, path, latency ? ['kind', 'length', 'bound', 'table'] : ['kind', 'length', 'bound']);
  const kind = fields.choice(constraint?.['kind'], `${path}.kind`, ['density', 'loss', 'latency']);
  const length = readTokens(fields, constraint?.['length'], `${path}.length`);
  const bound = fields.number(constraint?.['bound'], `${path}.bound`, NOT_NEGATIVE);
  if (kind === 'latency') {
    const table = constraint?.['table'] === undefined ? undefined : readLatencyTable(fields, constraint['table'], `${path}.table`);
    return length === undefined || bound === undefined || table === undefined ? undefined : { kind, length, bound, table };
  }
  return kind === undefined || length === undefined || bound === undefined ? undefined : { kind, length, bound };
}

function readExact(fields: FieldReader, value: JsonValue): Certificate['exact'] {
  const exact = fields.object(value, 'certificate.exact', ['lowerBound', 'method']);
  const lowerBound = fields.number(exact?.['lowerBound'], 'certificate.exact.lowerBound', ANY);
  const method = fields.text(exact?.['method'], 'certificate.exact.method', /^[\x20-\x7e]{1,200}$/, 'a line of up to 200 printable characters');
  return lowerBound === undefined || method === undefined ? undefined : { lowerBound, method };
}

/** What no part can say alone (MOA7205, MOA7206). */
function checkParts(fields: FieldReader, plan: ParsedPlan, { candidates, constraints, multipliers, objective, profile }: Certificate): void {
  const contradiction = (path: string, message: string): undefined => fields.error('MOA7205', path, message);
  if (multipliers.length !== constraints.length) contradiction('certificate.multipliers', `${multipliers.length} multipliers for ${constraints.length} constraints`);
  const known = new Set<string>();
  candidates.forEach(({ alpha, numerator, denominator }, index) => {
    const key = `${alpha},${numerator},${denominator}`;
    if (known.has(key)) contradiction(`certificate.candidates[${index}]`, 'this candidate is listed twice');
    known.add(key);
  });
  const shape = plan.model?.shape;
  if (shape !== undefined && shape.queryHeads % shape.kvHeads !== 0) contradiction('model.kvHeads', `${shape.queryHeads} query heads cannot be shared out evenly among ${shape.kvHeads} KV heads`);
  if (plan.limits.sink % 64 !== 0) contradiction('sink', `the sink, ${plan.limits.sink} tokens, is not a multiple of 64; losses are known by pages`);

  const longest = profile.lengths.at(-1)!;
  const lossAt = (length: number, path: string): void => {
    if (length < longest && !profile.lengths.includes(length)) contradiction(path, `no loss is known at ${length}: it was not profiled, and is not longer than ${longest}`);
  };
  objective.forEach(({ length }, index) => lossAt(length, `certificate.objective[${index}].length`));
  constraints.forEach((constraint, index) => {
    const path = `certificate.constraints[${index}]`;
    if (constraint.kind === 'loss') lossAt(constraint.length, `${path}.length`);
    if (constraint.kind === 'latency') latencyTableLimits(fields, path, constraint, candidates, plan.limits, [...new Set(plan.model?.windows ?? [null])]);
  });
}
