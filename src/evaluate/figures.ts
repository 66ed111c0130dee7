/** Figures of an evaluation that its tables and pictures show. */
import { DENSE, type Evaluation, type RetrievalRow } from './answer.ts';
import type { Subject } from './request.ts';

/** How many of the questions of a kind are answered; of all kinds for undefined. Undefined where none was asked. */
export function accuracyOf(evaluation: Evaluation, subject: string, length: number, kind?: string): number | undefined {
  const rows = evaluation.retrieval.filter((row) => row.subject === subject && row.length === length && (kind === undefined || row.kind === kind));
  const questions = rows.flatMap((row) => row.questions);
  return questions.length === 0 ? undefined : questions.filter(({ right }) => right).length / questions.length;
}

/** The kinds of questions, in the order of the answer. */
export const kindsOf = ({ retrieval }: Evaluation): readonly string[] => [...new Set(retrieval.map(({ kind }: RetrievalRow) => kind))];

/**
 * The effective context: the longest length at which, and at all shorter ones, the accuracy of retrieval is at least 0.9 (MoA, section 5.1). With `relative`, at least 0.9 of
 * the dense model's at that length. 0 where it is not so even at the shortest.
 */
export function effectiveContext(evaluation: Evaluation, subject: string, lengths: readonly number[], relative: boolean): number {
  let reached = 0;
  for (const length of [...lengths].sort((a, b) => a - b)) {
    const accuracy = accuracyOf(evaluation, subject, length) ?? 0;
    const wanted = 0.9 * (relative ? (accuracyOf(evaluation, DENSE, length) ?? 0) : 1);
    if (accuracy < wanted || wanted === 0) break;
    reached = length;
  }
  return reached;
}

/** The dense model, and what it is compared with, as rows of tables. */
export interface Shown {
  readonly id: string;
  readonly title: string;
  readonly density: (length: number) => number;
}

export const shownSubjects = (subjects: readonly Subject[]): readonly Shown[] => [
  { id: DENSE, title: 'the model as it comes', density: () => 1 },
  ...subjects.map(({ id, title, densities }) => ({ id, title, density: (length: number) => densities.get(length)! })),
];
