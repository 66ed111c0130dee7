import { readInputFile } from '../plan/readInput.ts';
import { parseModelConfig } from '../plan/parseModelConfig.ts';
import { parsePlan } from '../plan/parsePlan.ts';
import { resolveModelShape } from '../plan/resolveModelShape.ts';
import { resolveWindows } from '../plan/resolveWindows.ts';
import type { PlanCheck } from '../search/check/check.ts';
import { checkPlan } from '../search/check/checkPlan.ts';
import { readHeadLosses } from '../search/check/headLosses.ts';
import { readCertificate } from '../search/check/readCertificate.ts';
import { DiagnosticError, DiagnosticList } from '../util/diagnostics.ts';
import { stableJson } from '../util/stableJson.ts';
import { sayDiagnostics, table, type Output } from './output.ts';
import { configPath } from './readInputs.ts';

export interface CheckPlanOptions {
  /** Path of the profile that the plan was made from. */
  readonly profile?: string;
  /** Path of a Hugging Face config. */
  readonly model?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

/** `moa-compile check-plan plan.json`: whether the plan is what its certificate says. Returns the exit code: 1 when a check failed. */
export async function checkPlanCommand(planPath: string, options: CheckPlanOptions, output: Output): Promise<number> {
  const diagnostics = new DiagnosticList();
  const planInput = await readInputFile(planPath, { diagnostics });
  const plan = planInput && parsePlan(planInput.bytes, planInput.file, diagnostics);
  const configInput = options.model === undefined ? undefined : await readInputFile(configPath(options.model), { diagnostics });
  const config = configInput && parseModelConfig(configInput.bytes, configInput.file, diagnostics);
  if (plan === undefined) throw new DiagnosticError(diagnostics.toArray(), 2);
  if (plan.model !== undefined) resolveModelShape(plan, config, {}, diagnostics);
  if (config !== undefined) resolveWindows(plan, config, { roundWindows: true }, diagnostics);
  const certificate = readCertificate(plan, diagnostics);
  if (certificate === undefined || diagnostics.hasErrors) throw new DiagnosticError(diagnostics.toArray(), 2);

  const { profile } = options;
  const expected = { ...certificate.profile, layers: plan.layers, queryHeads: plan.queryHeads, sinkPages: plan.limits.sink / plan.limits.page, windows: plan.model?.windows };
  const losses = profile === undefined ? undefined : await readHeadLosses(profile, expected, diagnostics);
  if (diagnostics.hasErrors) throw new DiagnosticError(diagnostics.toArray(), 2);
  const checked = checkPlan(plan, certificate, losses);
  sayDiagnostics(output, diagnostics.toArray(), options.quiet === true);
  if (options.json === true) output.print(stableJson({ plan: plan.file, profile: profile ?? null, ...checked }).trimEnd());
  else if (options.quiet !== true || !checked.ok) output.print(textOf(checked));
  return checked.ok ? 0 : 1;
}

function textOf(checked: PlanCheck): string {
  const { checks, value, lowerBound, gap, exact } = checked;
  const failures = checks.filter(({ status }) => status === 'failed').length;
  const open = checks.filter(({ status }) => status === 'not checked').length;
  const bounds = [`value ${value}, lower bound ${lowerBound} (gap ${percent(gap)})`, ...(exact === undefined ? [] : [`stated lower bound ${exact.lowerBound} (gap ${percent(exact.gap)})`])];
  return [
    table([['check', 'result', ''], ...checks.map(({ name, status, detail }) => [name, status, detail])]),
    '',
    bounds.join(', '),
    `${checks.length - failures - open} checks ok, ${failures} failed, ${open} not done`,
  ].join('\n');
}

/** A gap is small, so with three digits that say something. */
const percent = (part: number): string => `${Number((part * 100).toPrecision(3))} %`;
