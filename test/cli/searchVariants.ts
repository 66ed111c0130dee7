/** Searches with other options: what each writes is read, compiled and checked by the other commands. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { syntheticProfile } from '../search/support.ts';
import { runMany, scratchFile, scratchFolder, sourcesOnly, type RunResult } from './support.ts';

const shape = { layers: 4, queryHeads: 4, kvHeads: 2 };
export const profiled = [512, 1024];
export const tableOf = (lengths: readonly number[], headDim = 64, first = 128): object => ({
  format: 'moa-latency', version: 1, device: 'a GPU', phase: 'decode', unit: 'us', headDim, groupSize: 2, command: 'measure',
  lengths: lengths.map((length) => ({ length, spans: [first, 256, length], times: [1, 1.25, 1 + length / 300] })),
});

interface PlanFile {
  readonly alphas: readonly (readonly number[])[];
  readonly betas: readonly (readonly number[])[];
  readonly certificate: {
    readonly candidates: readonly unknown[];
    readonly value: number;
    readonly lowerBound: number;
    readonly exact?: unknown;
    readonly rulesPerLayer: number;
    readonly objective: readonly { readonly length: number; readonly weight: number }[];
    readonly constraints: readonly { readonly kind: string; readonly length: number; readonly bound: number }[];
  };
  readonly evidence: Record<string, unknown>;
}

interface Answer {
  readonly plan: string;
  readonly chosen: number;
  readonly reason: string;
  readonly plans: readonly { readonly losses: Record<string, number>; readonly densities: Record<string, number>; readonly gap: number }[];
  readonly profile: { readonly lengths: readonly unknown[] };
  readonly seconds: Record<string, number>;
}

interface Variant {
  readonly args: readonly string[];
  /** What the plan is bounded by. */
  readonly bounds: readonly string[];
  readonly lengths?: readonly number[];
  readonly weights?: readonly number[];
  readonly rules?: number;
  readonly perQueryHead?: boolean;
  readonly front?: boolean;
  readonly gap?: number;
}

/** So coarse that a rule which suits one length does not suit the other. */
const coarse = ['--alpha-step', '192', '--betas', '4', '--rules-per-layer', '1'];
const variantsWith = (table: string): Readonly<Record<string, Variant>> => ({
  default: { args: ['--density', '0.5'], bounds: ['density 0.5 at 512', 'density 0.5 at 1024'] },
  'rules by query head': { args: ['--density', '0.5', '--granularity', 'query-head'], bounds: ['density 0.5 at 512', 'density 0.5 at 1024'], perQueryHead: true },
  'any number of rules': { args: ['--density', '0.5', '--rules-per-layer', '0'], bounds: ['density 0.5 at 512', 'density 0.5 at 1024'], rules: 0 },
  'one rule': { args: ['--density', '0.5', '--rules-per-layer', '1'], bounds: ['density 0.5 at 512', 'density 0.5 at 1024'], rules: 1 },
  'three rules by query head': { args: ['--density', '0.5', '--rules-per-layer', '3', '--granularity', 'query-head'], bounds: ['density 0.5 at 512', 'density 0.5 at 1024'], rules: 3, perQueryHead: true },
  'a front': { args: ['--density', '0.4', '--front', ...coarse], bounds: ['density 0.4 at 512', 'density 0.4 at 1024'], rules: 1, front: true },
  'a front of which one plan is kept': { args: ['--density', '0.4', '--front', '--plans', '1', ...coarse], bounds: ['density 0.4 at 512', 'density 0.4 at 1024'], rules: 1 },
  'longer lengths': { args: ['--density', '0.4', '--extend', '2k,1600'], bounds: ['density 0.4 at 512', 'density 0.4 at 1024', 'density 0.4 at 1600', 'density 0.4 at 2048'], lengths: [512, 1024, 1600, 2048] },
  weights: { args: ['--density', '0.4', '--weights', '0@512,2.5@1k'], bounds: ['density 0.4 at 512', 'density 0.4 at 1024'], weights: [0, 2.5] },
  'bounds by length': { args: ['--density', '0.5,0.3@1k'], bounds: ['density 0.5 at 512', 'density 0.3 at 1024'] },
  'the last bound for a length counts, one at a length without a loss too': { args: ['--density', '0.2@1k', '--density', '0.4@1k,0.25@4k'], bounds: ['density 0.4 at 1024', 'density 0.25 at 4096'] },
  'no exact step': { args: ['--density', '0.35', '--no-exact'], bounds: ['density 0.35 at 512', 'density 0.35 at 1024'], gap: 0.2 },
  'a finer grid': { args: ['--density', '0.5', '--alpha-step', '64', '--betas', '17'], bounds: ['density 0.5 at 512', 'density 0.5 at 1024'] },
  'betas that no double is': { args: ['--density', '0.5', '--betas', '8'], bounds: ['density 0.5 at 512', 'density 0.5 at 1024'] },
  'one beta': { args: ['--density', '0.5', '--betas', '1'], bounds: ['density 0.5 at 512', 'density 0.5 at 1024'] },
  'no sink, and longer spans': { args: ['--density', '0.6', '--sink', '0', '--min-span', '192'], bounds: ['density 0.6 at 512', 'density 0.6 at 1024'] },
  latency: { args: ['--latency', '0.6,0.5@1k', '--latency-table', table], bounds: ['latency 0.6 at 512', 'latency 0.5 at 1024'] },
  'latency and density': { args: ['--density', '0.5@512', '--latency', '0.5@1k', '--latency-table', table, '--front'], bounds: ['density 0.5 at 512', 'latency 0.5 at 1024'], front: true },
});

/** A grid so wide that two bounds may hold alone, but not together. */
export const wide = ['--alpha-step', '384', '--betas', '3'];

/** A profile to search, and where plans go. Each test file makes its own: what it wrote goes with it. */
export class SearchFixture {
  readonly profile = syntheticProfile({ ...shape, lengths: profiled, seed: 2 });
  readonly table = scratchFile('table.json', JSON.stringify(tableOf(profiled)));
  readonly variants = variantsWith(this.table);
  readonly folder = scratchFolder();
  readonly #outcomes = new Map<string, readonly RunResult[]>();

  /** The search of a variant; its plan goes into `folder`. */
  search(name: string, args = this.variants[name]!.args): string[] {
    return ['search', this.profile.path, '-o', this.#planPath(name), ...args];
  }

  plan(name: string): PlanFile {
    return JSON.parse(readFileSync(this.#planPath(name), 'utf8')) as PlanFile;
  }

  answer(name: string): Answer {
    return JSON.parse(this.#outcomes.get(name)![0]!.stdout) as Answer;
  }

  /** Runs these variants, and describes the tests of each. */
  describe(names: readonly string[]): void {
    const commandsOf = (name: string): readonly (readonly string[])[] => [
      [...this.search(name), '--report', join(this.folder, `${name}.html`), '--json'],
      ['inspect', this.#planPath(name), '--lengths', '512,1024,1600,2048,4096', '--json'],
      [this.#planPath(name), ...sourcesOnly, '--dry-run'],
      ['check-plan', this.#planPath(name), '--profile', this.profile.path, '--json'],
    ];
    const outcomes = runMany(names.flatMap(commandsOf));
    names.forEach((name, n) => this.#outcomes.set(name, outcomes.slice(4 * n, 4 * n + 4)));
    describe.each(names)('%s', (name) => {
      const { bounds, lengths = profiled, weights = lengths.map(() => 1), rules = 2, perQueryHead = false, front = false, gap = 1e-4 } = this.variants[name]!;
      const [searched, inspected, compiled, checked] = this.#outcomes.get(name)! as [RunResult, RunResult, RunResult, RunResult];

      test('the plan is read, compiled and checked', () => {
        for (const { status, stderr } of [searched, inspected, compiled, checked]) expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
        const check = JSON.parse(checked.stdout) as { ok: boolean; gap: number; checks: { name: string; status: string; detail: string }[] };
        expect(check.checks.filter(({ name: item, status }) => status !== 'ok' && item !== 'exact lower bound')).toEqual([]);
        const { constraints, objective, rulesPerLayer } = this.plan(name).certificate;
        // Plans along a front have bounds on losses besides.
        expect(constraints.filter(({ kind }) => kind !== 'loss').map(({ kind, length, bound }) => `${kind} ${bound} at ${length}`)).toEqual(bounds);
        expect(objective).toEqual(lengths.map((length, n) => ({ length, weight: weights[n]! })).filter(({ weight }) => weight > 0));
        expect(rulesPerLayer).toBe(rules);
      });

      test('the JSON has the figures of the plan', () => {
        const answer = JSON.parse(searched.stdout) as Answer;
        const { seconds, plan: path, ...evidence } = answer;
        const plan = this.plan(name);
        expect(path).toBe(this.#planPath(name));
        expect(Object.keys(seconds)).toEqual(['read the profile', 'solve']);
        expect(plan.evidence).toEqual({ tool: expect.stringMatching(/^moa-compile \d/), ...evidence });
        expect(answer.profile.lengths).toHaveLength(2);
        expect(answer.chosen).toBe(0);
        const chosen = answer.plans[0]!;
        // Of the certificate, and of inspect.
        const value = lengths.reduce((sum, length, n) => sum + weights[n]! * chosen.losses[length]!, 0);
        expect(value).toBeCloseTo(plan.certificate.value, 12);
        const figures = JSON.parse(inspected.stdout) as { lengths: { length: number; planDensity: number; cacheDensity: number; computeDensity: number }[]; uniformRings: number; rings: number };
        for (const length of lengths) {
          const at = figures.lengths.find((entry) => entry.length === length)!;
          expect(chosen.densities[length]).toBeCloseTo(perQueryHead ? at.planDensity : at.cacheDensity, 12);
        }
        expect([figures.rings, perQueryHead ? 8 : figures.uniformRings]).toEqual([8, 8]);
        const densityOf = Object.fromEntries(figures.lengths.map((at) => [at.length, perQueryHead ? at.planDensity : at.cacheDensity]));
        for (const { kind, length, bound } of plan.certificate.constraints) if (kind === 'density') expect(densityOf[length]!).toBeLessThanOrEqual(bound + 1e-12);
        for (const { gap: found } of answer.plans) expect(found).toBeLessThanOrEqual(gap);
        if (rules > 0) plan.alphas.forEach((layer, at) => expect(new Set(layer.map((alpha, head) => `${alpha} ${plan.betas[at]![head]}`)).size).toBeLessThanOrEqual(rules));
        if (!front) expect(answer.plans).toHaveLength(1);
      });

      test('the report is a page', () => {
        const page = readFileSync(join(this.folder, `${name}.html`), 'utf8');
        expect(page).toMatch(/^<!doctype html>\n?<html/i);
        expect(page).toMatch(/<\/html>\s*$/);
        for (const bound of bounds) expect(page).toContain(bound.replace(/^(\w+) ([\d.]+) at (\d+)$/, (_, kind: string, part: string, length: string) => `${kind} at ${length} &lt;= ${(100 * Number(part)).toFixed(1)} %`));
      });
    });
  }

  #planPath(name: string): string {
    return join(this.folder, `${name}.json`);
  }
}
