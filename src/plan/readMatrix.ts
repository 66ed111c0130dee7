import type { JsonNode } from '../util/jsonReader.ts';
import { MAX_HEADS, MAX_LAYERS, PLAN_FIELDS } from './planSchema.ts';
import { ProblemTally, type Problem } from './problemTally.ts';
import { requireMember } from './readFields.ts';
import { describeKind, reportKind, type Scope } from './report.ts';

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
  /** Every number that is there, right or wrong. */
  readonly numbers: readonly number[];
  /**
   * Errors that are not reported yet: of numbers that are no alpha or beta, and of what is no row
   * or no number.
   */
  readonly wrong: ProblemTally;
  readonly others: ProblemTally;
}

/**
 * Reads `key` as layers x query heads. Reports counts outside 1 to 1024; finds rows that are no
 * arrays or have another length than most, and every number that is no alpha or beta. At most 1024
 * rows of 1024 items are looked at.
 */
export function readMatrix(scope: Scope, key: 'alphas' | 'betas'): Matrix | undefined {
  const { report } = scope;
  const value = requireMember(
    scope,
    key,
    '[[...], ...], a row for each layer with a number for each query head',
  );
  if (value === undefined) return undefined;
  if (value.kind !== 'array') {
    reportKind(report, value, key, 'an array with a row for each layer');
    return undefined;
  }
  const layers = value.items.length;
  if (layers < 1 || layers > MAX_LAYERS)
    report.error('MOA1108', value.offset, key, `${layers} layers; a plan has 1 to ${MAX_LAYERS}`);

  const rows = value.items.slice(0, MAX_LAYERS);
  const heads = mostCommonLength(rows);
  if (heads !== undefined && (heads < 1 || heads > MAX_HEADS)) {
    report.error(
      'MOA1109',
      value.offset,
      key,
      `${heads} query heads in a layer; a plan has 1 to ${MAX_HEADS}`,
    );
  }
  const found: Found = { numbers: [], wrong: new ProblemTally(), others: new ProblemTally() };
  const cells = rows.map((row, layer) =>
    readRow(found, row, `${key}[${layer}]`, heads, key === 'alphas' ? alphaProblem : betaProblem),
  );
  return { key, offset: value.offset, layers, heads, cells, ...found };
}

interface Found {
  readonly numbers: number[];
  readonly wrong: ProblemTally;
  readonly others: ProblemTally;
}

/** What is wrong with a number, as a kind of error and its words; undefined: nothing. */
type CellProblem = (
  value: number,
) =>
  | {
      readonly kind: string;
      readonly describe: () => Pick<Problem, 'code' | 'message' | 'details'>;
    }
  | undefined;

function readRow(
  { numbers, wrong, others }: Found,
  row: JsonNode,
  path: string,
  heads: number | undefined,
  problemOf: CellProblem,
): readonly Cell[] {
  if (row.kind !== 'array') {
    const message = `expected a row of numbers, found ${describeKind(row.kind)}`;
    others.add(`row ${row.kind}`, () => ({ code: 'MOA1104', offset: row.offset, path, message }));
    return [];
  }
  if (row.items.length !== heads) {
    const message = `this row has ${row.items.length} values, the other layers have ${heads}`;
    const details = { help: 'give every layer one number for each query head' };
    others.add('length', () => ({ code: 'MOA1107', offset: row.offset, path, message, details }));
  }
  return row.items.slice(0, MAX_HEADS).map((item, head) => {
    if (item.kind !== 'number') {
      others.add(item.kind, () => ({
        code: 'MOA1104',
        offset: item.offset,
        path: `${path}[${head}]`,
        message: `expected a number, found ${describeKind(item.kind)}`,
      }));
      return undefined;
    }
    if (!Number.isFinite(item.value)) return undefined; // Reported by the reader.
    numbers.push(item.value);
    const problem = problemOf(item.value);
    if (problem === undefined) return item;
    wrong.add(problem.kind, () => ({
      offset: item.offset,
      path: `${path}[${head}]`,
      ...problem.describe(),
    }));
    return undefined;
  });
}

function alphaProblem(alpha: number): ReturnType<CellProblem> {
  const { min, max } = PLAN_FIELDS.alphas.type.cell;
  const isInteger = Number.isInteger(alpha);
  if (isInteger && alpha >= min && alpha <= max) return undefined;
  const details = { help: 'alpha is a whole number of tokens; it may be negative' };
  const message = isInteger
    ? `alpha ${alpha} is not from ${min} to ${max}`
    : `alpha ${alpha} is not an integer`;
  return {
    kind: isInteger ? 'range' : 'fraction',
    describe: () => ({ code: 'MOA1110', message, details }),
  };
}

function betaProblem(beta: number): ReturnType<CellProblem> {
  const { min, max } = PLAN_FIELDS.betas.type.cell;
  if (beta >= min && beta <= max) return undefined;
  const details = { help: 'beta is the part of the sequence that a head keeps' };
  const message = `beta ${beta} is not from ${min} to ${max}`;
  return {
    kind: beta < min ? 'negative' : 'above',
    describe: () => ({ code: 'MOA1111', message, details }),
  };
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
