/** Plans at a length that no profile knew: what Python is asked, and what it answers (docs/search-formats.md). */
import { windowOf } from '../ir/affine.ts';
import type { DiagnosticList } from '../util/diagnostics.ts';
import { readJson, toJsonValue } from '../util/jsonReader.ts';
import { stableJson } from '../util/stableJson.ts';
import { FieldReader, type JsonRecord } from './fields.ts';
import type { FrontPoint } from './front.ts';
import type { Instance } from './instance.ts';
import { rulesOf } from './planFile.ts';

export interface Measured {
  /** Nats, mean over samples of the mean over a sample's answer tokens. */
  readonly loss: number;
  /** The part of answer tokens that are the most likely one. */
  readonly accuracy: number;
}

export interface Validation {
  readonly length: number;
  readonly samples: number;
  readonly answerTokens: number;
  readonly dense: Measured;
  /** In the order of the plans that were asked for. */
  readonly plans: readonly Measured[];
}

/** The text of a request for `plans` at `length`; a plan's id is its place. */
export function validationRequest(instance: Instance, plans: readonly FrontPoint[], length: number): string {
  const { limits, windows: modelWindows } = instance;
  const written = plans.map((plan, id) => ({
    id: String(id),
    sink: limits.sink,
    windows: rulesOf(instance, plan).map((layer, at) => layer.map((rule) => windowOf(rule, limits, length, modelWindows[at]!))),
  }));
  return stableJson({ format: 'moa-validation-request', version: 1, length, modelWindows, plans: written });
}

const CODES = { key: 'MOA7308', value: 'MOA7308', format: 'MOA7308' } as const;

/** Reads an answer for `count` plans at `length`; undefined when it is none, which is reported. */
export function readValidation(text: Uint8Array, file: string, length: number, count: number, diagnostics: DiagnosticList): Validation | undefined {
  const before = diagnostics.errorCount;
  const document = readJson(text, file, diagnostics);
  if (document === undefined) return undefined;
  const fields = new FieldReader(file, CODES, diagnostics);
  const root = fields.object(toJsonValue(document.root), '', ['format', 'version', 'length', 'samples', 'answerTokens', 'dense', 'plans']);
  if (root === undefined || !fields.format(root, '', 'moa-validation', 1)) return undefined;
  const whole = { min: 1, max: Number.MAX_SAFE_INTEGER };
  const at = fields.integer(root['length'], 'length', whole);
  if (at !== undefined && at !== length) return fields.error('MOA7308', 'length', `the answer is for ${at} tokens, not ${length}`);
  const measured = (value: unknown, path: string, keys: readonly string[]): Measured | undefined => {
    const record = fields.object(value as Parameters<typeof fields.object>[0], path, keys);
    const loss = fields.number(record?.['loss'], `${path}.loss`, { min: 0, max: Number.MAX_VALUE });
    const accuracy = fields.number(record?.['accuracy'], `${path}.accuracy`, { min: 0, max: 1 });
    return loss === undefined || accuracy === undefined ? undefined : { loss, accuracy };
  };
  const samples = fields.integer(root['samples'], 'samples', whole);
  const answerTokens = fields.integer(root['answerTokens'], 'answerTokens', whole);
  const dense = measured(root['dense'], 'dense', ['loss', 'accuracy']);
  const plans = fields.every(fields.array(root['plans'], 'plans', { min: count, max: count }), 'plans', (item, path) => measured(item, path, ['id', 'loss', 'accuracy']));
  plans?.forEach((_, place) => fields.choice((root['plans'] as readonly JsonRecord[])[place]!['id'], `plans[${place}].id`, [String(place)]));
  if (diagnostics.errorCount > before) return undefined;
  if (samples === undefined || answerTokens === undefined || dense === undefined || plans === undefined) return undefined;
  return { length, samples, answerTokens, dense, plans };
}

/** The place of the plan with the lowest loss; the first of equals. */
export const bestOf = ({ plans }: Validation): number => plans.reduce((best, { loss }, at) => (loss < plans[best]!.loss ? at : best), 0);
