import { guessMatrices } from './guessMatrices.ts';
import { readMatrix, type Matrix } from './readMatrix.ts';
import type { Report, Scope } from './report.ts';

/**
 * Reads `alphas` and `betas`. Reports what is wrong with them: a mistake that explains many errors
 * once, with the guess; otherwise a few errors of each kind and how many more there are.
 */
export function readMatrices(scope: Scope): {
  readonly alphas: Matrix | undefined;
  readonly betas: Matrix | undefined;
} {
  const { report } = scope;
  const alphas = readMatrix(scope, 'alphas');
  const betas = readMatrix(scope, 'betas');
  const matrices = [alphas, betas].filter((matrix) => matrix !== undefined);
  const isWrong = matrices.some(({ wrong }) => wrong.count > 0);
  const guess = isWrong ? guessMatrices(alphas?.numbers ?? [], betas?.numbers ?? []) : undefined;
  const explained = matrices.filter(({ key }) => guess?.about.includes(key) === true);
  if (guess !== undefined) reportGuess(report, explained, guess.help);
  for (const matrix of matrices) {
    if (!explained.includes(matrix)) matrix.wrong.report(report);
    matrix.others.report(report);
  }
  if (alphas !== undefined && betas !== undefined) compareMatrices(report, alphas, betas);
  return { alphas, betas };
}

/** One error for all wrong numbers: the first of them, how many there are, and the guess. */
function reportGuess(report: Report, matrices: readonly Matrix[], help: string): void {
  const first = matrices.flatMap(({ wrong }) => wrong.first ?? [])[0];
  if (first === undefined) return;
  const count = matrices.reduce((sum, { wrong }) => sum + wrong.count, 0);
  const names = matrices.map(({ key }) => key).join(' and ');
  const total = matrices.reduce((sum, { numbers }) => sum + numbers.length, 0);
  const more = count === 1 ? '' : `, and ${count - 1} more of the ${total} ${names} are wrong`;
  report.error(first.code, first.offset, first.path, `${first.message}${more}`, { help });
}

/** Reports where the two matrices have different numbers of layers or heads (MOA1108, MOA1109). */
function compareMatrices(report: Report, alphas: Matrix, betas: Matrix): void {
  const related = [
    { message: 'alphas is here', location: report.place(alphas.offset, 'alphas').location },
  ];
  const [layers, heads] = [
    alphas.layers !== betas.layers,
    alphas.heads !== undefined && betas.heads !== undefined && alphas.heads !== betas.heads,
  ];
  if (layers && heads && alphas.layers === betas.heads && alphas.heads === betas.layers) {
    const message = `betas has ${betas.layers} layers of ${betas.heads} query heads, alphas has ${alphas.layers} of ${alphas.heads}`;
    report.error('MOA1108', betas.offset, 'betas', message, {
      related,
      help: 'one of the two looks transposed: a row is a layer, with a number for each query head',
    });
    return;
  }
  if (layers)
    report.error(
      'MOA1108',
      betas.offset,
      'betas',
      `betas has ${betas.layers} layers, alphas has ${alphas.layers}`,
      { related },
    );
  if (heads)
    report.error(
      'MOA1109',
      betas.offset,
      'betas',
      `betas has ${betas.heads} query heads a layer, alphas has ${alphas.heads}`,
      { related },
    );
}
