/** What Python answers: docs/evaluate-formats.md. */
import { FieldReader } from '../search/fields.ts';
import type { DiagnosticList } from '../util/diagnostics.ts';
import { readJson, toJsonValue, type JsonValue } from '../util/jsonReader.ts';

export interface AskedQuestion {
  /** Where the evidence lies, from 0 (the beginning of the context) to 1. */
  readonly depth: number;
  /** Tokens from the evidence to the answer. */
  readonly distance: number;
  readonly right: boolean;
}

export interface RetrievalRow {
  readonly subject: string;
  readonly length: number;
  readonly kind: string;
  readonly questions: readonly AskedQuestion[];
}

export interface LossBin {
  /** Positions `[from, to)`. */
  readonly from: number;
  readonly to: number;
  readonly tokens: number;
  /** Nats, the mean. */
  readonly loss: number;
}

export interface PerplexityRow {
  readonly subject: string;
  readonly length: number;
  readonly tokens: number;
  readonly loss: number;
  readonly byPosition: readonly LossBin[];
}

export interface AgreementRow {
  readonly subject: string;
  readonly length: number;
  /** The subject that it is compared with. */
  readonly with: string;
  readonly tokens: number;
  /** Kullback-Leibler divergence of the next token, in nats, the mean. */
  readonly kl: number;
  /** How often the most likely next token is the same. */
  readonly top1: number;
}

export interface Evaluation {
  readonly device: string;
  readonly torch: string;
  readonly transformers: string;
  readonly dtype: string;
  readonly model: { readonly layers: number; readonly queryHeads: number; readonly kvHeads: number };
  readonly retrieval: readonly RetrievalRow[];
  readonly perplexity: readonly PerplexityRow[];
  readonly agreement: readonly AgreementRow[];
}

/** The subject that every answer has: the model with its own attention. */
export const DENSE = 'dense';

const CODES = { key: 'MOA7312', value: 'MOA7312', format: 'MOA7312' } as const;
const MANY = { min: 0, max: 1e6 };
const COUNT = { min: 1, max: Number.MAX_SAFE_INTEGER };
const NUMBER = { min: -Number.MAX_VALUE, max: Number.MAX_VALUE };
const PART = { min: 0, max: 1 };
const TOP = ['format', 'version', 'device', 'torch', 'transformers', 'dtype', 'model', 'retrieval', 'perplexity', 'agreement'];

/** Reads an answer; undefined when it is none, which is reported (MOA7312). */
export function readAnswer(text: Uint8Array, file: string, diagnostics: DiagnosticList): Evaluation | undefined {
  const before = diagnostics.errorCount;
  const document = readJson(text, file, diagnostics);
  const fields = new FieldReader(file, CODES, diagnostics);
  const root = document && fields.object(toJsonValue(document.root), '', TOP);
  if (root === undefined || !fields.format(root, '', 'moa-evaluation', 1)) return undefined;
  const reader = new AnswerReader(fields);
  const word = (name: string): string => fields.text(root[name], name, /./, 'a word') ?? '';
  const found = {
    device: word('device'),
    torch: word('torch'),
    transformers: word('transformers'),
    dtype: word('dtype'),
    model: reader.model(root['model']),
    retrieval: reader.rows(root['retrieval'], 'retrieval', reader.retrieval),
    perplexity: reader.rows(root['perplexity'], 'perplexity', reader.perplexity),
    agreement: reader.rows(root['agreement'], 'agreement', reader.agreement),
  };
  return diagnostics.errorCount > before ? undefined : found;
}

/** Readers of parts. Each gives a value of its type in any case; what is wrong is reported. */
class AnswerReader {
  readonly #fields: FieldReader;

  constructor(fields: FieldReader) {
    this.#fields = fields;
  }

  rows<Row>(value: JsonValue | undefined, path: string, read: (item: JsonValue, path: string) => Row): readonly Row[] {
    const items = this.#fields.array(value, path, MANY) ?? [];
    return items.map((item, index) => read(item, `${path}[${index}]`));
  }

  model(value: JsonValue | undefined): Evaluation['model'] {
    const record = this.#fields.object(value, 'model', ['layers', 'queryHeads', 'kvHeads']) ?? {};
    const count = (name: string): number => this.#fields.integer(record[name], `model.${name}`, COUNT) ?? 0;
    return { layers: count('layers'), queryHeads: count('queryHeads'), kvHeads: count('kvHeads') };
  }

  readonly retrieval = (value: JsonValue, path: string): RetrievalRow => {
    const record = this.#fields.object(value, path, ['subject', 'length', 'kind', 'questions']) ?? {};
    return { ...this.#at(record, path), kind: this.#text(record['kind'], `${path}.kind`), questions: this.rows(record['questions'], `${path}.questions`, this.#question) };
  };

  readonly perplexity = (value: JsonValue, path: string): PerplexityRow => {
    const record = this.#fields.object(value, path, ['subject', 'length', 'tokens', 'loss', 'byPosition']) ?? {};
    return { ...this.#at(record, path), ...this.#loss(record, path), byPosition: this.rows(record['byPosition'], `${path}.byPosition`, this.#bin) };
  };

  readonly agreement = (value: JsonValue, path: string): AgreementRow => {
    const record = this.#fields.object(value, path, ['subject', 'length', 'with', 'tokens', 'kl', 'top1']) ?? {};
    return {
      ...this.#at(record, path),
      with: this.#text(record['with'], `${path}.with`),
      tokens: this.#fields.integer(record['tokens'], `${path}.tokens`, COUNT) ?? 0,
      kl: this.#fields.number(record['kl'], `${path}.kl`, NUMBER) ?? 0,
      top1: this.#fields.number(record['top1'], `${path}.top1`, PART) ?? 0,
    };
  };

  readonly #question = (value: JsonValue, path: string): AskedQuestion => {
    const record = this.#fields.object(value, path, ['depth', 'distance', 'right']) ?? {};
    return {
      depth: this.#fields.number(record['depth'], `${path}.depth`, PART) ?? 0,
      distance: this.#fields.integer(record['distance'], `${path}.distance`, COUNT) ?? 0,
      right: this.#fields.flag(record['right'], `${path}.right`) ?? false,
    };
  };

  readonly #bin = (value: JsonValue, path: string): LossBin => {
    const record = this.#fields.object(value, path, ['from', 'to', 'tokens', 'loss']) ?? {};
    const position = (name: string): number => this.#fields.integer(record[name], `${path}.${name}`, COUNT) ?? 0;
    return { from: position('from'), to: position('to'), ...this.#loss(record, path) };
  };

  #at(record: Readonly<Record<string, JsonValue>>, path: string): { readonly subject: string; readonly length: number } {
    return { subject: this.#text(record['subject'], `${path}.subject`), length: this.#fields.integer(record['length'], `${path}.length`, COUNT) ?? 0 };
  }

  #loss(record: Readonly<Record<string, JsonValue>>, path: string): { readonly tokens: number; readonly loss: number } {
    return { tokens: this.#fields.integer(record['tokens'], `${path}.tokens`, COUNT) ?? 0, loss: this.#fields.number(record['loss'], `${path}.loss`, NUMBER) ?? 0 };
  }

  #text(value: JsonValue | undefined, path: string): string {
    return this.#fields.text(value, path, /./, 'a name') ?? '';
  }
}
