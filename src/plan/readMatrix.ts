import type { JsonNode } from '../util/jsonReader.ts';
import { MAX_HEADS, MAX_LAYERS, PLAN_FIELDS } from './planSchema.ts';
import { requireMember } from './readFields.ts';
import { describeKind, reportKind, type Report, type Scope } from './report.ts';

/** A number of a matrix and where it is; undefined where it was wrong and has been reported. */
export type Cell = { readonly value: number; readonly offset: number } | undefined;

/** A matrix of a plan, as far as it could be read. */
export interface Matrix {
  readonly key: 'alphas' | 'betas';
  readonly offset: number;
  readonly layers: number;
  /** Query heads of a layer, where the rows agree or most do; undefined when there are no rows. */
  readonly heads: number | undefined;
  readonly cells: readonly (readonly Cell[])[];
}

/**
 * Reads `key` as layers x query heads. Reports counts outside 1 to 1024, rows that are no arrays or have another length than most, and
 * every number that is no alpha or beta. At most 1024 rows of 1024 items are looked at.
 */
export function readMatrix(scope: Scope, key: 'alphas' | 'betas'): Matrix | undefined {
  const { report } = scope;
  const value = requireMember(scope, key, '[[...], ...], a row for each layer with a number for each query head');
  if (value === undefined) return undefined;
  if (value.kind !== 'array') {
    reportKind(report, value, key, 'an array with a row for each layer');
    return undefined;
  }
  const layers = value.items.length;
  if (layers < 1 || layers > MAX_LAYERS) report.error('MOA1108', value.offset, key, `${layers} layers; a plan has 1 to ${MAX_LAYERS}`);

  const rows = value.items.slice(0, MAX_LAYERS);
  const heads = mostCommonLength(rows);
  if (heads !== undefined && (heads < 1 || heads > MAX_HEADS)) {
    report.error('MOA1109', value.offset, key, `${heads} query heads in a layer; a plan has 1 to ${MAX_HEADS}`);
  }
  const cells = rows.map((row, layer) => readRow(report, row, `${key}[${layer}]`, heads, key === 'alphas' ? checkAlpha : checkBeta));
  return { key, offset: value.offset, layers, heads, cells };
}

type CheckCell = (report: Report, value: number, offset: number, path: string) => boolean;

function readRow(report: Report, row: JsonNode, path: string, heads: number | undefined, check: CheckCell): readonly Cell[] {
  if (row.kind !== 'array') {
    report.error('MOA1104', row.offset, path, `expected a row of numbers, found ${describeKind(row.kind)}`);
    return [];
  }
  if (row.items.length !== heads) {
    const message = `this row has ${row.items.length} values, the other layers have ${heads}`;
    report.error('MOA1107', row.offset, path, message, { help: 'give every layer one number for each query head' });
  }
  return row.items.slice(0, MAX_HEADS).map((item, head) => {
    if (item.kind !== 'number') {
      reportKind(report, item, `${path}[${head}]`, 'a number');
      return undefined;
    }
    if (!Number.isFinite(item.value)) return undefined; // Reported by the reader.
    return check(report, item.value, item.offset, `${path}[${head}]`) ? item : undefined;
  });
}

function checkAlpha(report: Report, alpha: number, offset: number, path: string): boolean {
  const { min, max } = PLAN_FIELDS.alphas.type.cell;
  if (Number.isInteger(alpha) && alpha >= min && alpha <= max) return true;
  const message = Number.isInteger(alpha) ? `alpha ${alpha} is not from ${min} to ${max}` : `alpha ${alpha} is not an integer`;
  report.error('MOA1110', offset, path, message, { help: 'alpha is a whole number of tokens; it may be negative' });
  return false;
}

function checkBeta(report: Report, beta: number, offset: number, path: string): boolean {
  const { min, max } = PLAN_FIELDS.betas.type.cell;
  if (beta >= min && beta <= max) return true;
  report.error('MOA1111', offset, path, `beta ${beta} is not from ${min} to ${max}`, { help: 'beta is the part of the sequence that a head keeps' });
  return false;
}

/** The length that most rows have; the first such when there are several. */
function mostCommonLength(rows: readonly JsonNode[]): number | undefined {
  const counts = new Map<number, number>();
  for (const row of rows) {
    if (row.kind === 'array') counts.set(row.items.length, (counts.get(row.items.length) ?? 0) + 1);
  }
  const [first, ...others] = counts;
  return first && others.reduce((best, entry) => (entry[1] > best[1] ? entry : best), first)[0];
}

/** Reports where the two matrices have different numbers of layers or heads (MOA1108, MOA1109). */
export function compareMatrices(report: Report, alphas: Matrix, betas: Matrix): void {
  const related = [{ message: 'alphas is here', location: report.place(alphas.offset, 'alphas').location }];
  if (alphas.layers !== betas.layers) {
    report.error('MOA1108', betas.offset, 'betas', `betas has ${betas.layers} layers, alphas has ${alphas.layers}`, { related });
  }
  if (alphas.heads !== undefined && betas.heads !== undefined && alphas.heads !== betas.heads) {
    report.error('MOA1109', betas.offset, 'betas', `betas has ${betas.heads} query heads a layer, alphas has ${alphas.heads}`, { related });
  }
}
