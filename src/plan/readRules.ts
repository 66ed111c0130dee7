import type { Rule } from '../ir/rule.ts';
import { MAX_DISTINCT_RULES } from './planSchema.ts';
import type { Matrix } from './readMatrix.ts';
import type { Report } from './report.ts';
import { fractionOf, ruleOf } from './spanRule.ts';

/**
 * The rules of the heads whose alpha and beta are both right, by layer; equal pairs share one object. Reports more than 256
 * different rules (MOA1113) once and stops there, and warns once of betas that are no fraction (MOA1112).
 */
export function readRules(report: Report, alphas: Matrix, betas: Matrix): readonly (readonly Rule[])[] {
  const table = new Map<number, Map<number, Rule>>();
  let distinct = 0;
  const inexact: { beta: number; offset: number; path: string }[] = [];

  const layers: Rule[][] = [];
  for (const [layer, row] of alphas.cells.entries()) {
    const rules: Rule[] = [];
    for (const [head, alpha] of row.entries()) {
      const beta = betas.cells[layer]?.[head];
      if (alpha === undefined || beta === undefined) continue;
      let byAlpha = table.get(beta.value);
      if (byAlpha === undefined) {
        table.set(beta.value, (byAlpha = new Map()));
        if (!fractionOf(beta.value).exact) inexact.push({ beta: beta.value, offset: beta.offset, path: `betas[${layer}][${head}]` });
      }
      let rule = byAlpha.get(alpha.value);
      if (rule === undefined) {
        distinct += 1;
        if (distinct > MAX_DISTINCT_RULES) {
          const help = 'round alphas and betas to a coarser grid: each rule makes rings and schedules of its own';
          const message = `the plan has more than ${MAX_DISTINCT_RULES} different rules`;
          report.error('MOA1113', alpha.offset, `alphas[${layer}][${head}]`, message, { help });
          return layers;
        }
        byAlpha.set(alpha.value, (rule = ruleOf(alpha.value, beta.value)));
      }
      rules.push(rule);
    }
    layers.push(rules);
  }
  warnInexact(report, inexact);
  return layers;
}

function warnInexact(report: Report, inexact: readonly { beta: number; offset: number; path: string }[]): void {
  const first = inexact[0];
  if (first === undefined) return;
  const { numerator, denominator } = fractionOf(first.beta);
  const others = inexact.length === 1 ? '' : `, and ${inexact.length - 1} more betas are rounded like it`;
  const message = `beta ${first.beta} is no fraction with a denominator up to 2^30; ${numerator}/${denominator} is used${others}`;
  const help = 'spans at very long sequences may differ by a token; round beta, as in 0.125';
  report.warning('MOA1112', first.offset, first.path, message, { help });
}
