/** Fuzzes the front end: any bytes give either errors with stable codes or a plan that holds what it promises, quickly, and nothing throws. */
import fc from 'fast-check';
import { buildModule } from '../../src/plan/buildModule.ts';
import { CODES } from '../../src/plan/codes.ts';
import { INPUT_FORMATS, type FormatOptions, type PlanInput } from '../../src/plan/formats/inputFormat.ts';
import { placeOnModel } from '../../src/plan/formats/placeOnModel.ts';
import { readFormat } from '../../src/plan/formats/readFormat.ts';
import { parseModelConfig } from '../../src/plan/parseModelConfig.ts';
import { parsePlan } from '../../src/plan/parsePlan.ts';
import type { ParsedPlan } from '../../src/plan/planSchema.ts';
import { resolveModelShape } from '../../src/plan/resolveModelShape.ts';
import { DiagnosticList } from '../../src/util/diagnostics.ts';

export interface FuzzOptions {
  /** How many inputs. */
  readonly count: number;
  /** What the inputs depend on; a failure prints it. */
  readonly seed: number;
}

export interface FuzzResult {
  /** How many of the inputs were right. */
  readonly plans: number;
  readonly configs: number;
  /** How often each code came up. */
  readonly codes: ReadonlyMap<string, number>;
}

const VALID = [
  '{"alphas": [[0.0, -1024.0], [256, 0]], "betas": [[0.5, 1.0], [0, 0.125]]}',
  `{"format": "moa-plan", "version": 1,
    "model": {"name": "a/b-1", "layers": 2, "queryHeads": 2, "kvHeads": 1, "headDim": 64, "elementType": "bf16", "softCap": 50, "learnedSinks": true, "scale": 0.1, "windows": [null, 4096]},
    "sink": 64, "page": 64, "minSpan": 128, "alphas": [[0, 1], [2, 3]], "betas": [[0.1, 0.25], [0, 1]],
    "certificate": {"bound": 0.5}, "evidence": {"runs": [1, 2, null]}}`,
  `{"_name_or_path": "a/b", "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "hidden_size": 128,
    "head_dim": null, "rope_theta": 10000.0, "rope_scaling": {"rope_type": "llama3"}, "torch_dtype": "float16",
    "model_type": "gpt_oss", "sliding_window": 128, "attn_logit_softcapping": 50.0, "query_pre_attn_scalar": 256}`,
];

const KEYS = VALID.flatMap((text) => Object.keys(JSON.parse(text) as object)).concat('layers', 'queryHeads', 'kvHeads', 'headDim', 'text_config');

const TOKENS = ['{', '}', '[', ']', '[[', ']]', '"', ',', ':', '0', '1', '-', '.5', '1e999', '-1e999', '1e-320', '-0', '0.1', '64', '1025', '16777217', 'null', 'true', 'NaN']
  .concat('__proto__', '"constructor":', '\\', '\\u0000', '\\ud800', '\0', '\n', '\r', '\u2028', '\u202e', '\ufeff', '\ufffd', '\u001b[2J', '*/', '../', '// ')
  .concat(KEYS.map((key) => `"${key}":`), '[0,0],[0,0]', '{"a":[[[[[[[[[[[[[[[[[0]]]]]]]]]]]]]]]]]}');

type Edit = readonly [at: number, remove: number, insert: string];

const edit: fc.Arbitrary<Edit> = fc.tuple(fc.nat(400), fc.oneof(fc.constant(0), fc.nat(4), fc.nat(100)), fc.oneof(fc.constant(''), fc.constantFrom(...TOKENS), fc.string({ maxLength: 3 })));

function applyEdits(text: string, edits: readonly Edit[]): string {
  return edits.reduce((result, [at, remove, insert]) => {
    const start = at % (result.length + 1);
    return result.slice(0, start) + insert + result.slice(start + remove);
  }, text);
}

function applyBytes(text: string, edits: readonly (readonly [number, number])[]): Uint8Array {
  const bytes = Uint8Array.from(Buffer.from(text));
  for (const [at, value] of edits) bytes[at % bytes.length] = value;
  return bytes;
}

const number = fc.oneof(fc.constantFrom(0, 1, 0.5, 0.1, 64, 128, 256, -1024), fc.integer({ min: -2000, max: 2000 }), fc.double());
const matrix = fc.array(fc.array(number, { maxLength: 3 }), { maxLength: 3 });
const square = (cell: fc.Arbitrary<number>) => fc.array(fc.array(cell, { minLength: 2, maxLength: 2 }), { minLength: 2, maxLength: 2 });
const member = fc.oneof(matrix, number, fc.dictionary(fc.constantFrom(...KEYS), number), fc.jsonValue({ maxDepth: 2 }));

const input: fc.Arbitrary<string | Uint8Array> = fc.oneof(
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 64 }) },
  { weight: 1, arbitrary: fc.json({ maxDepth: 4 }) },
  { weight: 1, arbitrary: fc.array(fc.constantFrom(...TOKENS), { maxLength: 20 }).map((tokens) => tokens.join('')) },
  { weight: 5, arbitrary: fc.tuple(fc.constantFrom(...VALID), fc.array(edit, { maxLength: 4 })).map(([text, edits]) => applyEdits(text, edits)) },
  { weight: 2, arbitrary: fc.tuple(fc.constantFrom(...VALID), fc.array(fc.tuple(fc.nat(1000), fc.nat(255)), { maxLength: 3 })).map(([text, edits]) => applyBytes(text, edits)) },
  { weight: 2, arbitrary: fc.dictionary(fc.constantFrom(...KEYS), member, { maxKeys: 8 }).map((value) => JSON.stringify(value)) },
  {
    weight: 2,
    arbitrary: fc
      .record({ alphas: square(fc.integer({ min: -(2 ** 24), max: 2 ** 24 })), betas: square(fc.double({ min: 0, max: 1, noNaN: true })) })
      .map((value) => JSON.stringify(value)),
  },
);

const FORMAT_VALID = VALID.concat(
  '1.0\t0.25\n-1e-4\t1.0\n',
  '{"sink_size": 128, "recent_size": 256, "deploy_sink_size": null, "deploy_recent_size": 100}',
  '{"start_size": 4, "recent_size": 512}',
  `{"model_type": "gemma3_text", "num_hidden_layers": 3, "num_attention_heads": 2, "head_dim": 64, "sliding_window": 512, "sliding_window_pattern": 2,
    "attn_logit_softcapping": 30.0, "use_bidirectional_attention": false, "num_kv_shared_layers": 0}`,
  `{"text_config": {"model_type": "qwen2", "num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 128, "use_sliding_window": true,
    "sliding_window": 100, "max_window_layers": 1, "layer_types": ["full_attention", "sliding_attention"]}}`,
  '[{"0": ["vertical_and_slash", 1000, 6096, 0.5], "1": ["stream_llm", 100, 800, 0.9]}]',
  '{"0-1": [0.5, 0.25], "3-0": [1]}',
  '{"max_capacity_prompt": 512, "window_size": 32, "kernel_size": 5, "pooling": "avgpool", "token_budget": 1024, "page_size": 16}',
);
const FORMAT_TOKENS = TOKENS.concat('\t', '1\t0\n', 'nan', 'inf', '"sliding_attention"', '"chunked_attention"', ...['start_size', 'recent_size', 'sink_size', 'layer_types', 'sliding_window', 'model_type', 'token_budget'].map((key) => `"${key}":`));
const formatEdit: fc.Arbitrary<Edit> = fc.tuple(fc.nat(400), fc.oneof(fc.constant(0), fc.nat(4), fc.nat(100)), fc.oneof(fc.constant(''), fc.constantFrom(...FORMAT_TOKENS), fc.string({ maxLength: 3 })));
const formatText = fc.oneof(input, { weight: 4, arbitrary: fc.tuple(fc.constantFrom(...FORMAT_VALID), fc.array(formatEdit, { maxLength: 3 })).map(([text, edits]) => applyEdits(text, edits)) });
const maybe = <Value>(value: fc.Arbitrary<Value>): fc.Arbitrary<Value | undefined> => fc.option(value, { nil: undefined });

const formatInput: fc.Arbitrary<PlanInput> = fc.record({
  text: formatText,
  file: fc.constantFrom('plan.json', 'plan.json', 'scores.tsv'),
  format: fc.oneof({ weight: 5, arbitrary: fc.constant(undefined) }, fc.constantFrom(...INPUT_FORMATS)),
  beside: maybe(fc.oneof(fc.constant(FORMAT_VALID[4]!), formatText).map((text) => ({ text, file: 'config.json' }))),
  options: fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom<FormatOptions>({}, { sparsity: 0.5 }, { sparsity: 1, sink: 4, recent: 100 }, { recent: 1024 }, { roundWindows: true }) },
    fc.record({
      sparsity: maybe(fc.oneof(fc.double({ min: 0, max: 1, noNaN: true }), fc.double())),
      sink: maybe(fc.constantFrom(0, 4, 64, 100, 2 ** 20, -1, 0.5)),
      recent: maybe(fc.constantFrom(64, 100, 4096, 0, 2 ** 24)),
      roundWindows: maybe(fc.boolean()),
    }, { requiredKeys: [] }),
  ),
});

const MAX_MILLISECONDS = 1000;

/** As `fuzzFrontEnd`, with inputs in all formats; `configs` are those of a format that is not ours. */
export function fuzzFormats({ count, seed }: FuzzOptions): FuzzResult {
  const codes = new Map<string, number>();
  let plans = 0;
  let configs = 0;
  const property = fc.property(formatInput, (plan) => {
    const diagnostics = new DiagnosticList();
    const start = performance.now();
    const read = readFormat(plan, diagnostics);
    if (performance.now() - start > MAX_MILLISECONDS) throw new Error('too slow');
    for (const code of checkDiagnostics(read !== undefined, diagnostics)) codes.set(code, (codes.get(code) ?? 0) + 1);
    if (read === undefined) return;
    plans += 1;
    configs += Number(read.format !== 'moa' && read.format !== 'moa-plan');
    const placed = read.kind === 'parsedPlan' ? read : placeOnModel(read, undefined, { layers: read.layers ?? 2, queryHeads: 2 * (read.kvHeads ?? 1) }, diagnostics);
    if (placed !== undefined) checkPlan(placed);
    else checkDiagnostics(false, diagnostics);
  });
  fc.assert(property, { numRuns: count, seed });
  return { plans, configs, codes };
}

/** Tries `count` inputs. Throws with the smallest failing input and its seed. */
export function fuzzFrontEnd({ count, seed }: FuzzOptions): FuzzResult {
  const codes = new Map<string, number>();
  let plans = 0;
  let configs = 0;
  const property = fc.property(input, (text) => {
    const diagnostics = new DiagnosticList();
    const configDiagnostics = new DiagnosticList();
    const start = performance.now();
    const plan = parsePlan(text, 'plan.json', diagnostics);
    const config = parseModelConfig(text, 'config.json', configDiagnostics);
    if (performance.now() - start > MAX_MILLISECONDS) throw new Error('too slow');
    for (const code of checkDiagnostics(plan !== undefined, diagnostics)) codes.set(code, (codes.get(code) ?? 0) + 1);
    checkDiagnostics(config !== undefined, configDiagnostics);
    if (plan !== undefined) checkPlan(plan);
    plans += Number(plan !== undefined);
    configs += Number(config !== undefined);
  });
  fc.assert(property, { numRuns: count, seed });
  return { plans, configs, codes };
}

/** Right inputs have no errors, wrong ones have; messages are short lines of printable ASCII with a known code and a place. */
function checkDiagnostics(right: boolean, diagnostics: DiagnosticList): readonly string[] {
  if (right === diagnostics.hasErrors) throw new Error(`${right ? 'right' : 'wrong'} but ${diagnostics.errorCount} errors`);
  return diagnostics.toArray().map(({ code, message, help = '', path = '', location }) => {
    if (!(code in CODES)) throw new Error(`unknown code ${code}`);
    for (const text of [message, help, path]) {
      if (!/^[\x20-\x7e]{0,250}$/.test(text)) throw new Error(`unsafe text ${JSON.stringify(text)}`);
    }
    if (code !== 'MOA1000' && !(location !== undefined && location.line >= 1 && location.column >= 1)) throw new Error(`${code} has no place`);
    return code;
  });
}

function checkPlan(plan: ParsedPlan): void {
  const { limits } = plan;
  if (!(limits.page === 64 && limits.minSpan % 64 === 0 && limits.sink >= 0 && limits.sink < limits.minSpan)) throw new Error('wrong limits');
  if (plan.rules.length !== plan.layers || plan.rules.some((rules) => rules.length !== plan.queryHeads)) throw new Error('wrong shape');
  for (const { alpha, numerator, denominator } of plan.rules.flat()) {
    const integers = [alpha, numerator, denominator].every((value) => Number.isInteger(value) && !Object.is(value, -0));
    const inRange = Math.abs(alpha) <= 2 ** 24 && numerator >= 0 && numerator <= denominator && denominator >= 1 && denominator <= 2 ** 30;
    if (!integers || !inRange) throw new Error('wrong rule');
  }
  const diagnostics = new DiagnosticList();
  const model = resolveModelShape(plan, undefined, {}, diagnostics);
  checkDiagnostics(model !== undefined, diagnostics);
  if (model !== undefined) buildModule(plan, model.shape);
}
