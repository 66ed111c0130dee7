/** What property tests share: how many runs, which seed, and the report at the end. */
import { appendFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterAll } from 'vitest';
import { CaseFailure, type Case } from './case.ts';
import { newTally, type Tally } from './checkRows.ts';
import { emulatorTarget } from './harness.ts';
import type { Relation } from './metamorphic.ts';
import { runCase } from './runCase.ts';

/** `npm test` runs a quarter of the random cases, `npm run test:full` all, and `MOA_PROPERTY_RUNS=10` ten times as many. */
const scale = Number(process.env['MOA_PROPERTY_RUNS'] ?? (process.env['MOA_TEST_LANE'] === 'everyday' ? 0.25 : 1));
const seed = Number(process.env['MOA_PROPERTY_SEED'] ?? 20261124);

export const target = emulatorTarget();
export const runs = (usual: number): number => Math.max(1, Math.round(usual * scale));

/** Milliseconds for one test. */
export const timeout = 600_000 * Math.max(1, scale);

/** Counts the cases of a test file and prints one line when it ends; with `MOA_REPORT` also appended to that file as JSON. */
export class Suite {
  readonly #name: string;
  readonly #tally: Tally = newTally();
  #cases = 0;
  #worst: Case | undefined;

  constructor(name: string) {
    this.#name = name;
    afterAll(() => this.#report());
  }

  async run(testCase: Case): Promise<Tally> {
    const tally = await runCase(target, testCase);
    if (tally.multiple > this.#tally.multiple) this.#worst = testCase;
    this.add(tally);
    return tally;
  }

  /** Counts what was compared. */
  add({ rows, multiple, lseShare }: Tally): void {
    this.#cases += 1;
    this.#tally.rows += rows;
    this.#tally.multiple = Math.max(this.#tally.multiple, multiple);
    this.#tally.lseShare = Math.max(this.#tally.lseShare, lseShare);
  }

  /** Counts a comparison that is not a `Case`. */
  count(cases = 1): void {
    this.#cases += cases;
  }

  /** Runs `usual` random cases. */
  async check(cases: fc.Arbitrary<Case>, usual: number): Promise<void> {
    await this.property(cases, usual, async (testCase) => void (await this.run(testCase)));
  }

  /** A relation over `usual` random cases; a failure says which case it was. */
  relation(relation: Relation, cases: fc.Arbitrary<Case>, usual: number): Promise<void> {
    return this.property(cases, usual, async (testCase) => {
      this.count();
      await relation(target, testCase).catch((error: unknown) => {
        throw new CaseFailure(testCase, (error as Error).message, error);
      });
    });
  }

  /** `count`: how many values, where a lane of tests may not draw fewer. */
  async property<Value>(values: fc.Arbitrary<Value>, usual: number, holds: (value: Value) => Promise<void>, count = runs(usual)): Promise<void> {
    await fc.assert(fc.asyncProperty(values, holds), { seed, numRuns: count, endOnFailure: process.env['MOA_PROPERTY_SHRINK'] === undefined });
  }

  #report(): void {
    const { rows, multiple, lseShare } = this.#tally;
    console.log(`${this.#name}: ${this.#cases} cases, ${rows} rows, seed ${seed}; largest error ${multiple.toFixed(2)} x the plain computation's (2 allowed), LSE ${(100 * lseShare).toFixed(1)} % of its limit`);
    const path = process.env['MOA_REPORT'];
    if (path !== undefined) appendFileSync(path, `${JSON.stringify({ suite: this.#name, seed, cases: this.#cases, ...this.#tally, worst: this.#worst })}\n`);
  }
}
