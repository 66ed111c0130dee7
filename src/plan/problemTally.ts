import type { PlanCode } from './codes.ts';
import type { Details, Report } from './report.ts';

/** An error that may come many times in one input. */
export interface Problem {
  readonly code: PlanCode;
  readonly offset: number;
  readonly path: string;
  readonly message: string;
  readonly details?: Details;
}

/** How many errors of one kind are shown, besides one that counts the rest. */
const SHOWN = 3;

interface Kind {
  /** The first ones; one more than are shown, which takes the place of a count of one. */
  readonly first: Problem[];
  count: number;
  last: () => Problem;
}

/** Collects errors by kind, of which there may be a million: of most only the number is kept. */
export class ProblemTally {
  readonly #kinds = new Map<string, Kind>();

  /** Adds an error of `kind`; `describe` is called for those that are shown. */
  add(kind: string, describe: () => Problem): void {
    const known = this.#kinds.get(kind);
    if (known === undefined) {
      this.#kinds.set(kind, { first: [describe()], count: 1, last: describe });
      return;
    }
    if (known.first.length <= SHOWN) known.first.push(describe());
    known.count += 1;
    known.last = describe;
  }

  get count(): number {
    return [...this.#kinds.values()].reduce((sum, { count }) => sum + count, 0);
  }

  /** The error that comes first in the input. */
  get first(): Problem | undefined {
    const firsts = [...this.#kinds.values()].map(({ first }) => first[0]!);
    return firsts.sort((a, b) => a.offset - b.offset)[0];
  }

  /** Reports a few errors of each kind, and how many more of it there are. */
  report(report: Report): void {
    for (const { first, count, last } of this.#kinds.values()) {
      const shown = count <= SHOWN + 1 ? first : first.slice(0, SHOWN);
      for (const { code, offset, path, message, details } of shown)
        report.error(code, offset, path, message, details);
      const next = first[shown.length];
      if (next === undefined) continue;
      const message = `and ${count - shown.length} more like it, the last at ${last().path}`;
      report.error(next.code, next.offset, next.path, message);
    }
  }
}
