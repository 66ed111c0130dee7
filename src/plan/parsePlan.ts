import type { SpanLimits } from '../ir/rule.ts';
import type { DiagnosticList } from '../util/diagnostics.ts';
import { readJson, toJsonValue, type JsonDocument, type JsonObject, type JsonValue } from '../util/jsonReader.ts';
import { quote } from '../util/quote.ts';
import { AUTHORS_KEYS, DEFAULT_LIMITS, MAX_MIN_SPAN, PLAN_FIELDS, PLAN_FORMAT, PLAN_KEYS, PLAN_VERSION, type ParsedPlan } from './planSchema.ts';
import { offsetOf, readInteger, readObject, readString, requireInteger, requireMember } from './readFields.ts';
import { readMatrices } from './readMatrices.ts';
import { compareModel, readModel } from './readModel.ts';
import { readRules } from './readRules.ts';
import { describeKind, rejectUnknownKeys, Report, type Scope } from './report.ts';

/** Each marks a plan as one of our own format. */
export const OUR_MARKS = ['$schema', 'format', 'version', 'model'] as const;

/**
 * Reads a plan in the MoA authors' format, `{"alphas": [[...]], "betas": [[...]]}`, or in ours, which any of the keys `OUR_MARKS` marks.
 * Every mistake is reported with its JSON path and line; undefined when there was an error. Never throws, whatever the text.
 */
export function parsePlan(text: Uint8Array | string, file: string, diagnostics: DiagnosticList): ParsedPlan | undefined {
  const before = diagnostics.errorCount;
  const document = readJson(text, file, diagnostics);
  const plan = document && planOf(document, diagnostics);
  return diagnostics.errorCount > before ? undefined : plan;
}

/** `parsePlan` of what is JSON, and of `format` whatever its marks. */
export function planOf(document: JsonDocument, diagnostics: DiagnosticList, format?: 'moa' | 'moa-plan'): ParsedPlan | undefined {
  const before = diagnostics.errorCount;
  const report = new Report(document, diagnostics);
  const { root } = document;
  if (root.kind !== 'object') {
    const help = 'a plan is {"alphas": [[...], ...], "betas": [[...], ...]}, a row for each layer';
    report.error('MOA1101', root.offset, '', `a plan is an object, this is ${describeKind(root.kind)}`, { help });
    return undefined;
  }
  const whole: Scope = { node: root, path: '', report };
  const ours = format === undefined ? OUR_MARKS.some((key) => root.members.has(key)) : format === 'moa-plan';
  if (ours && !checkVersion(whole)) return undefined;
  const scope: Scope = { ...whole, misspelt: rejectUnknownKeys(whole, ours ? PLAN_KEYS : AUTHORS_KEYS) };

  if (ours) readString(scope, '$schema');
  const limits = ours ? readLimits(scope) : DEFAULT_LIMITS;
  const model = ours ? readModel(scope) : undefined;
  const { alphas, betas } = readMatrices(scope);
  const certificate = ours ? readOpaque(scope, 'certificate') : undefined;
  const evidence = ours ? readOpaque(scope, 'evidence') : undefined;
  if (alphas !== undefined && model !== undefined) compareModel(scope, model, alphas);
  const rules = alphas !== undefined && betas !== undefined ? readRules(report, alphas, betas) : undefined;

  if (diagnostics.errorCount > before || alphas?.heads === undefined || rules === undefined) return undefined;
  return {
    kind: 'parsedPlan',
    format: ours ? 'moa-plan' : 'moa',
    file: document.source.file,
    layers: alphas.layers,
    queryHeads: alphas.heads,
    limits,
    rules,
    ...(model === undefined ? {} : { model }),
    alphasPlace: report.place(alphas.offset, 'alphas'),
    ...(certificate === undefined ? {} : { certificate }),
    ...(evidence === undefined ? {} : { evidence }),
  };
}

/** Whether the plan says it is in our format; a plan of another version is not looked into, since its rules are not known. */
function checkVersion(scope: Scope): boolean {
  requireMember(scope, 'format', `"${PLAN_FORMAT}"`);
  const format = readString(scope, 'format');
  if (format !== undefined && format !== PLAN_FORMAT) {
    scope.report.error('MOA1105', offsetOf(scope, 'format'), 'format', `unknown format ${quote(format)}`, { help: `use "${PLAN_FORMAT}"` });
    return false;
  }
  const version = requireInteger(scope, 'version', { min: 1, max: Number.MAX_SAFE_INTEGER });
  if (version !== undefined && version !== PLAN_VERSION) {
    const help = `this compiler reads version ${PLAN_VERSION}; a newer one may read this plan`;
    scope.report.error('MOA1105', offsetOf(scope, 'version'), 'version', `unknown version ${version}`, { help });
    return false;
  }
  return true;
}

/** `sink`, `page` and `minSpan`, with defaults for what is absent or wrong. */
function readLimits(scope: Scope): SpanLimits {
  const { report } = scope;
  const range = { min: 0, max: MAX_MIN_SPAN };
  const page = readInteger(scope, 'page', range) ?? PLAN_FIELDS.page.default;
  const minSpan = readInteger(scope, 'minSpan', range) ?? PLAN_FIELDS.minSpan.default;
  const sink = readInteger(scope, 'sink', PLAN_FIELDS.sink.type) ?? PLAN_FIELDS.sink.default;
  if (page !== PLAN_FIELDS.page.type.value) {
    const help = `leave "page" out or write ${DEFAULT_LIMITS.page}`;
    const message = `page is ${page}; the kernels have pages of ${DEFAULT_LIMITS.page} tokens`;
    report.error('MOA1114', offsetOf(scope, 'page'), 'page', message, { help });
  }
  if (minSpan < PLAN_FIELDS.minSpan.type.min || minSpan % PLAN_FIELDS.minSpan.type.multipleOf !== 0) {
    const message = `minSpan ${minSpan} is not a positive multiple of ${DEFAULT_LIMITS.page}, the page`;
    report.error('MOA1116', offsetOf(scope, 'minSpan'), 'minSpan', message);
  }
  if (sink >= minSpan) {
    const key = scope.node.members.has('sink') ? 'sink' : 'minSpan';
    const help = 'the window, which is what is left of a span, has at least one token';
    report.error('MOA1115', offsetOf(scope, key), key, `sink ${sink} is not less than minSpan ${minSpan}`, { help });
  }
  return { sink, page, minSpan };
}

/** What the plan's maker attached, an object that is carried as it is. Numbers have a float's precision. */
function readOpaque(scope: Scope, key: 'certificate' | 'evidence'): JsonValue | undefined {
  const node: JsonObject | undefined = readObject(scope, key);
  return node && toJsonValue(node);
}
