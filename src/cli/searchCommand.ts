import { checkOutputFile } from '../emit/checkOutput.ts';
import { solveFront, type FrontPoint } from '../search/front.ts';
import { influenceOf, type Instance } from '../search/instance.ts';
import { densityAt, makeReport, type Found } from '../search/makeReport.ts';
import { planText } from '../search/planFile.ts';
import type { Profile } from '../search/profile/profile.ts';
import { readProfile } from '../search/profile/readProfile.ts';
import { renderReport } from '../search/report/renderReport.ts';
import type { SearchRequest } from '../search/request.ts';
import { bestPlan, instanceOf, refineFront, remarksOn } from '../search/searchPlans.ts';
import { bestOf, type Validation } from '../search/validation.ts';
import { writeWhole } from '../search/workFolder.ts';
import { DiagnosticError, DiagnosticList } from '../util/diagnostics.ts';
import type { JsonValue } from '../util/jsonReader.ts';
import { stableJson } from '../util/stableJson.ts';
import { formatPercent, sayDiagnostics, table, type Output } from './output.ts';
import { startProgress } from './progress.ts';
import { openModelStages, type ModelStages } from './searchModel.ts';
import { checkOptions, requestOf, type SearchOptions } from './searchRequest.ts';

/** `moa-compile search`: from a profile, or from a model and data, to a plan with a certificate. */
export async function searchCommand(profilePath: string | undefined, options: SearchOptions, output: Output): Promise<void> {
  const diagnostics = new DiagnosticList();
  const fail = (): never => {
    throw new DiagnosticError(diagnostics.toArray(), 2);
  };
  checkOptions(profilePath, options, diagnostics);
  if (diagnostics.hasErrors) fail();
  checkOutputs(profilePath, options);
  const clock = stopwatch();
  const stages = options.model === undefined ? undefined : await openModelStages(options, output);
  const path = profilePath ?? (await clock.time('profile', () => stages!.profile()));

  const profile = await clock.time('read the profile', () => readProfile(path, diagnostics, { sinkPages: [options.sink / 64] }));
  if (profile !== undefined && stages !== undefined) requireSameModel(profile, stages, options.model!);
  const request = profile && (await requestOf(profile, options, diagnostics));
  const instance = profile && request && instanceOf(influenceOf(profile, options.sink / 64), request, diagnostics);
  if (profile === undefined || request === undefined || instance === undefined) return fail();

  const plans = await clock.time('solve', () => solvePlans(instance, request, options, output));
  const validation = options.validate === undefined ? undefined : await clock.time('validate', () => stages!.validate(instance, plans, options.validate!));
  const chosen = validation === undefined ? 0 : bestOf(validation);
  const reason = validation === undefined ? 'lowest weighted sum of the predicted losses' : `lowest loss at ${validation.length} tokens, of ${plans.length} plans along the front`;
  plans.flatMap(remarksOn).forEach((remark) => diagnostics.add(remark));
  sayDiagnostics(output, diagnostics.toArray(), options.quiet === true);

  const evidence = evidenceOf(instance, request, profile, plans, chosen, reason, validation);
  const facts = { model: profile.model, sha256: profile.sha256, lengths: profile.lengths.map(({ length }) => length) };
  const plan = planText(instance, request, plans[chosen]!, facts, evidence);
  writeWhole(options.output!, plan);
  const found = { profile, instance, request, plans, chosen, reason, ...(validation === undefined ? {} : { validation }), plan, seconds: clock.seconds };
  if (options.report !== undefined) await writeReport(options.report, found, options.output!);
  if (options.json === true) output.print(stableJson({ plan: options.output!, ...evidence, seconds: Object.fromEntries(clock.seconds.map(({ stage, seconds }) => [stage, seconds])) }).trimEnd());
  else if (options.quiet !== true) output.print(summary(instance, request, plans, chosen, validation, options));
}

/** A profile says which model it was made from; another one must not validate its plans. */
function requireSameModel({ file, fingerprint }: Profile, stages: ModelStages, model: string): void {
  if (fingerprint === undefined || fingerprint === stages.fingerprint) return;
  const message = `${file} was made from other files than those in ${model}: weights, config or tokenizer differ`;
  throw new DiagnosticError([{ code: 'MOA7311', severity: 'error', message, help: 'give the model that was profiled, or profile this one' }], 2);
}

/** Refuses outputs that could not be written (50xx), before anything long runs. */
function checkOutputs(profilePath: string | undefined, { output, report, model, data, validationData, latencyTable }: SearchOptions): void {
  const inputs = [profilePath, model, data, validationData, latencyTable].filter((path) => path !== undefined);
  const problems = [output, report].flatMap((path) => {
    try {
      if (path !== undefined) checkOutputFile(path, inputs);
      return [];
    } catch (error) {
      if (error instanceof DiagnosticError) return error.diagnostics;
      throw error;
    }
  });
  if (problems.length > 0) throw new DiagnosticError(problems, 1);
}

/** Writes the report, after the plan; an error says so. */
async function writeReport(path: string, found: Found, planPath: string): Promise<void> {
  try {
    writeWhole(path, await renderReport(await makeReport(found)));
  } catch (error) {
    if (!(error instanceof DiagnosticError)) throw error;
    throw new DiagnosticError(error.diagnostics.map((diagnostic) => ({ ...diagnostic, message: `${diagnostic.message}; the plan is written: ${planPath}` })), error.exitCode);
  }
}

/** The plan for the weights, and the front where one is asked for; each as close to the best as `--gap` says. */
async function solvePlans(instance: Instance, request: SearchRequest, options: SearchOptions, output: Output): Promise<readonly FrontPoint[]> {
  const progress = startProgress(output.interactive, 'searching');
  try {
    const first = await bestPlan(instance, request);
    if (options.front !== true && options.validate === undefined) return [first];
    const front = await solveFront(instance, request, first, (done, total) => progress.step(done, total, 'problems of the front'));
    return await refineFront(instance, request, front, options.plans, (done, total) => progress.step(done, total, 'plans made exact'));
  } finally {
    await progress.end();
  }
}

function evidenceOf(instance: Instance, request: SearchRequest, profile: Profile, plans: readonly FrontPoint[], chosen: number, reason: string, validation: Validation | undefined): { readonly [key: string]: JsonValue } {
  return {
    chosen,
    reason,
    profile: { data: profile.data.sha256, lengths: profile.lengths.map((entry) => ({ ...entry })) },
    plans: plans.map((point, at) => ({
      losses: Object.fromEntries(request.objectives.map(({ length }, n) => [length, point.losses[n]!])),
      densities: Object.fromEntries(request.objectives.map(({ length }) => [length, densityAt(instance, point, length)])),
      gap: point.solved.gap,
      ...(validation === undefined ? {} : { validation: { ...validation.plans[at]! } }),
    })),
    ...(validation === undefined ? {} : { validation: { length: validation.length, samples: validation.samples, answerTokens: validation.answerTokens, dense: { ...validation.dense } } }),
  };
}

function summary(instance: Instance, request: SearchRequest, plans: readonly FrontPoint[], chosen: number, validation: Validation | undefined, options: SearchOptions): string {
  const { objectives } = request;
  const heading = ['plan', ...objectives.map(({ length }) => `loss at ${length}`), ...objectives.map(({ length }) => `density at ${length}`), 'gap', ...(validation === undefined ? [] : [`loss at ${validation.length}, measured`, 'accuracy'])];
  const rows = plans.map((point, at) => [
    `${at}${at === chosen ? ' *' : ''}`,
    ...point.losses.map((loss) => loss.toFixed(5)),
    ...objectives.map(({ length }) => formatPercent(densityAt(instance, point, length))),
    `${(100 * point.solved.gap).toFixed(4)} %`,
    ...(validation === undefined ? [] : [validation.plans[at]!.loss.toFixed(5), formatPercent(validation.plans[at]!.accuracy)]),
  ]);
  return [
    `${instance.model.layers} layers, ${instance.heads} ${instance.granularity === 'kv-head' ? 'KV' : 'query'} heads each, ${instance.candidates.length} candidates, at most ${request.rulesPerLayer || 'any number of'} rules a layer`,
    '',
    table([heading, ...rows]),
    '',
    ...(validation === undefined ? [] : [`dense: loss ${validation.dense.loss.toFixed(5)}, accuracy ${formatPercent(validation.dense.accuracy)} at ${validation.length}, ${validation.samples} samples`]),
    `${options.output}: plan ${chosen}${options.report === undefined ? '' : `; ${options.report}: the report`}`,
  ].join('\n');
}

function stopwatch(): { readonly seconds: { stage: string; seconds: number }[]; time<Result>(stage: string, work: () => Promise<Result>): Promise<Result> } {
  const seconds: { stage: string; seconds: number }[] = [];
  return {
    seconds,
    time: async (stage, work) => {
      const begin = performance.now();
      const result = await work();
      seconds.push({ stage, seconds: Math.round(performance.now() - begin) / 1000 });
      return result;
    },
  };
}

