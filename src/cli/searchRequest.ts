/** Options of a search, and what they ask for. */
import { resolve } from 'node:path';
import type { SpanLimits } from '../ir/rule.ts';
import { readInputFile } from '../plan/readInput.ts';
import { MAX_CONSTRAINTS, MAX_LENGTHS } from '../search/check/certificate.ts';
import { FieldReader } from '../search/fields.ts';
import { readLatencyTable, type LatencyTable } from '../search/latencyTable.ts';
import type { Profile } from '../search/profile/profile.ts';
import type { Constraint, Granularity, Objective, SearchRequest } from '../search/request.ts';
import type { DiagnosticList } from '../util/diagnostics.ts';
import { readJson, toJsonValue } from '../util/jsonReader.ts';
import type { ValueAt } from './options.ts';

export interface SearchOptions {
  readonly output?: string;
  readonly report?: string;
  readonly density?: readonly ValueAt[];
  readonly latency?: readonly ValueAt[];
  readonly latencyTable?: string;
  readonly weights?: readonly ValueAt[];
  readonly extend?: readonly number[];
  readonly granularity: Granularity;
  readonly rulesPerLayer: number;
  readonly alphaStep?: number;
  readonly betas?: number;
  readonly sink: number;
  readonly minSpan: number;
  readonly gap: number;
  readonly exact: boolean;
  readonly front?: boolean;
  readonly plans: number;
  // The whole search:
  readonly model?: string;
  readonly data?: string;
  readonly lengths?: readonly number[];
  readonly target: string;
  readonly samples?: number;
  readonly validate?: number;
  readonly validationData?: string;
  readonly work?: string;
  readonly python?: string;
  readonly device?: string;
  readonly dtype?: string;
  readonly queryBlock?: number;
  readonly restart?: boolean;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

const PAGE = 64;

/** What the options ask for without the profile: contradictions are reported before anything long runs (MOA7305). */
export function checkOptions(profile: string | undefined, options: SearchOptions, diagnostics: DiagnosticList): void {
  const wrong = (message: string, help: string): void => diagnostics.add({ code: 'MOA7305', severity: 'error', message, help });
  const { model, data, density, latency, latencyTable, sink, minSpan } = options;
  if (profile === undefined && model === undefined) wrong('there is neither a profile nor a model to search for', 'moa-compile search profile.safetensors ..., or moa-compile search --model FOLDER --data FILE.jsonl --lengths 2k,4k ...');
  if (profile !== undefined && model !== undefined && options.validate === undefined) wrong('a profile and --model are given, and nothing to do with the model', 'take --model out, or add --validate LENGTH');
  if (model !== undefined && data === undefined && (profile === undefined || options.validationData === undefined)) wrong('--model without --data', 'name the samples, which moa-compile calibrate makes: --data FILE.jsonl');
  if (model !== undefined && profile === undefined && options.lengths === undefined) wrong('--model without --lengths', 'name the lengths to profile: --lengths 2k,4k,8k');
  if (options.validate !== undefined && model === undefined) wrong('--validate without --model', 'a plan is validated by running the model: --model FOLDER --data FILE.jsonl');
  if (density === undefined && latency === undefined) wrong('no bound is given', 'bound the cache with --density 0.5, or the time with --latency 0.6 --latency-table FILE');
  if (latency !== undefined && latencyTable === undefined) wrong('--latency without --latency-table', 'name a table that bench/search/latency.sh measured');
  if (latencyTable !== undefined && latency === undefined) wrong('--latency-table without --latency', 'bound the time: --latency 0.6');
  if (latency !== undefined && options.granularity === 'query-head') wrong('--latency with --granularity query-head', 'times are of KV heads: take one of the two out');
  if (options.output === undefined) wrong('there is no file to write the plan to', 'add -o plan.json');
  if (options.output !== undefined && options.report !== undefined && resolve(options.output) === resolve(options.report)) wrong('-o and --report name one file', 'the plan and its report are two files');
  if (sink % PAGE !== 0 || minSpan % PAGE !== 0 || sink >= minSpan) wrong(`sink ${sink} and shortest span ${minSpan}`, 'both are multiples of 64, and the sink is less');
  if (options.alphaStep !== undefined && options.alphaStep % PAGE !== 0) wrong(`--alpha-step ${options.alphaStep} is not a multiple of 64`, 'spans are whole pages of 64 tokens');
  const lengths = [...(options.lengths ?? []), ...(options.extend ?? []), ...(options.validate === undefined ? [] : [options.validate]), ...[...(density ?? []), ...(latency ?? []), ...(options.weights ?? [])].flatMap(({ length }) => length ?? [])];
  const odd = lengths.find((length) => length % PAGE !== 0);
  if (odd !== undefined) wrong(`the length ${odd} is not a multiple of 64`, 'lengths are whole pages of 64 tokens');
}

/** The request for `profile`; undefined when an error was reported (MOA7305, latency tables 72xx). */
export async function requestOf(profile: Profile, options: SearchOptions, diagnostics: DiagnosticList): Promise<SearchRequest | undefined> {
  const before = diagnostics.errorCount;
  const profiled = profile.lengths.map(({ length }) => length);
  const longest = profiled.at(-1)!;
  const limits: SpanLimits = { sink: options.sink, page: PAGE, minSpan: options.minSpan };
  const extended = [...new Set([...(options.extend ?? []), ...(options.validate === undefined ? [] : [options.validate])])].filter((length) => !profiled.includes(length));
  const wrong = (message: string, help: string): void => diagnostics.add({ code: 'MOA7305', severity: 'error', message, help });
  for (const length of extended) if (length < longest) wrong(`no loss is known at ${length}: it was not profiled, and is shorter than the longest profile, ${longest}`, `the profile has ${profiled.join(', ')}; longer lengths are extrapolated`);
  const lengths = [...profiled, ...extended].sort((a, b) => a - b);
  for (const { length } of options.weights ?? []) if (length !== undefined && !lengths.includes(length)) wrong(`--weights names ${length}, which has no loss`, `lengths with a loss are ${lengths.join(', ')}`);
  const objectives: Objective[] = lengths.map((length) => ({ length, weight: valueAt(options.weights, length) ?? 1 }));
  if (objectives.every(({ weight }) => weight === 0)) wrong('every weight is 0', 'leave --weights out for equal ones');

  const table = options.latencyTable === undefined ? undefined : await readTable(options.latencyTable, diagnostics);
  const constraints: Constraint[] = boundsOf(options.density, lengths).map(({ length, value }) => ({ kind: 'density', length, bound: value }));
  if (table !== undefined) {
    checkTable(table, profile, options.latencyTable!, diagnostics);
    const covered = boundsOf(options.latency, table.lengths.map(({ length }) => length).filter((length) => lengths.includes(length)));
    for (const { length, value } of covered) {
      const rows = table.lengths.filter((row) => row.length === length).length;
      if (rows > 1) diagnostics.add({ code: 'MOA7206', severity: 'error', message: `${options.latencyTable}: ${rows} entries for the length ${length}`, help: 'leave one' });
      else if (rows === 0) diagnostics.add({ code: 'MOA7206', severity: 'error', message: `${options.latencyTable}: no times at ${length}`, help: `the table has ${table.lengths.map((row) => row.length).join(', ')}` });
      else constraints.push({ kind: 'latency', length, bound: value, table });
    }
    if (covered.length === 0) diagnostics.add({ code: 'MOA7206', severity: 'error', message: `${options.latencyTable}: no times at a length of the search`, help: `the table has ${table.lengths.map((row) => row.length).join(', ')}; the search ${lengths.join(', ')}` });
  }
  if (lengths.length > MAX_LENGTHS) wrong(`${lengths.length} lengths have a loss; a certificate has room for ${MAX_LENGTHS}`, 'name fewer with --extend');
  // The plans of a front also bound the losses at all lengths but one.
  const room = MAX_CONSTRAINTS - lengths.length + 1;
  if (constraints.length > room) wrong(`there are ${constraints.length} bounds; a certificate has room for ${room}`, 'name fewer lengths with --density and --latency');
  if (diagnostics.errorCount > before) return undefined;
  const { granularity, rulesPerLayer, alphaStep, betas, gap, exact } = options;
  return { granularity, rulesPerLayer, limits, ...(alphaStep === undefined ? {} : { alphaStep }), ...(betas === undefined ? {} : { betas }), objectives, constraints, gap, exact };
}

/** The last value for a length: one that names it, else one that names none. */
function valueAt(values: readonly ValueAt[] | undefined, length: number): number | undefined {
  return (values?.findLast((entry) => entry.length === length) ?? values?.findLast((entry) => entry.length === undefined))?.value;
}

/** A bound for each length that has one, the lengths that bounds name among them. */
function boundsOf(values: readonly ValueAt[] | undefined, lengths: readonly number[]): readonly { length: number; value: number }[] {
  const all = [...new Set([...lengths, ...(values ?? []).flatMap(({ length }) => length ?? [])])].sort((a, b) => a - b);
  return all.flatMap((length) => {
    const value = valueAt(values, length);
    return value === undefined ? [] : [{ length, value }];
  });
}

async function readTable(path: string, diagnostics: DiagnosticList): Promise<LatencyTable | undefined> {
  const input = await readInputFile(path, { diagnostics });
  const document = input && readJson(input.bytes, input.file, diagnostics);
  if (document === undefined) return undefined;
  return readLatencyTable(new FieldReader(path, { key: 'MOA7203', value: 'MOA7204', format: 'MOA7202' }, diagnostics), toJsonValue(document.root), '');
}

function checkTable({ headDim, groupSize }: LatencyTable, { model }: Profile, path: string, diagnostics: DiagnosticList): void {
  const group = model.queryHeads / model.kvHeads;
  if (headDim === model.headDim && groupSize === group) return;
  const message = `${path}: measured with headDim ${headDim} and ${groupSize} query heads for a KV head; the model has ${model.headDim} and ${group}`;
  diagnostics.add({ code: 'MOA7206', severity: 'error', message, help: 'measure the kernels of this shape: bench/search/latency.sh' });
}
