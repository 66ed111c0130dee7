import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { checkOutputFile } from '../emit/checkOutput.ts';
import { onInterrupt } from '../emit/cleanupOnSignal.ts';
import { readAnswer, type Evaluation } from '../evaluate/answer.ts';
import type { Baseline } from '../evaluate/kinds.ts';
import { packageSubject, requestText, subjectsOf, type NamedPlan, type Subject } from '../evaluate/request.ts';
import { readPlan } from '../plan/readPlan.ts';
import { findPython, pythonArguments, runPython } from '../search/python.ts';
import { environmentVariables } from '../util/debug.ts';
import { DiagnosticError, DiagnosticList } from '../util/diagnostics.ts';
import { evaluationTables } from './evaluateTables.ts';
import { sayDiagnostics, type Output } from './output.ts';
import { readInputs } from './readInputs.ts';
import { folderOf } from './searchModel.ts';

export interface EvaluateOptions {
  readonly model: string;
  readonly plan: readonly string[];
  readonly package?: readonly string[];
  readonly lengths: readonly number[];
  readonly texts?: string;
  readonly kinds: readonly string[];
  readonly samples: number;
  readonly depths: number;
  readonly against: readonly Baseline[];
  readonly seed: number;
  readonly output?: string;
  readonly python?: string;
  readonly device?: string;
  readonly dtype?: string;
  readonly restart?: boolean;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

/** Shorter ones hold no question, nor a sink and a window. */
const SHORTEST = 256;

/** `moa-compile evaluate`: what a model still does under plans, beside other ways to spend as many KV slots. Python runs the model (python/moa_compile/evaluate). */
export async function evaluateCommand(options: EvaluateOptions, output: Output): Promise<void> {
  const model = folderOf(options.model);
  const lengths = [...new Set(options.lengths)].sort((a, b) => a - b);
  checkLengths(lengths);
  if (options.output !== undefined) checkOutputFile(options.output, [model, ...options.plan, ...(options.texts === undefined ? [] : [options.texts])]);
  const plans = await readPlans(options.plan, model, output, options.quiet === true);
  const byMasks = subjectsOf(plans, options.against, lengths);
  const packages = (options.package ?? []).map((folder, index) => packageSubject(resolve(folder), planOf(byMasks, plans, index), index));
  const subjects = [...byMasks, ...packages];
  const python = await findPython(options.python, environmentVariables(), { name: 'the evaluation' });
  if (options.quiet !== true) output.say(`python: ${python.path}, ${python.description}`);

  const evaluation = await inTemporaryFolder(async (folder) => {
    const [request, answer] = [join(folder, 'request.json'), options.output ?? join(folder, 'answer.json')];
    const retrieval = options.kinds.length === 0 ? {} : { retrieval: { kinds: options.kinds, samples: options.samples, depths: options.depths } };
    const texts = options.texts === undefined ? {} : { texts: { path: resolve(options.texts), samples: options.samples } };
    writeFileSync(request, requestText({ seed: options.seed, lengths, subjects, ...retrieval, ...texts }));
    const { device, dtype, restart, quiet } = options;
    await runPython(python, ['evaluate', ...pythonArguments({ model, request, output: answer, device, dtype, restart, quiet })], { lessMemory: 'fewer --lengths' });
    return { text: readFileSync(answer), file: answer };
  });
  if (options.json === true) output.print(evaluation.text.toString('utf8').trimEnd());
  else output.print(evaluationTables(parsed(evaluation.text, evaluation.file), subjects, lengths));
}

function checkLengths(lengths: readonly number[]): void {
  const short = lengths.find((length) => length < SHORTEST);
  if (short !== undefined) throw new DiagnosticError([{ code: 'MOA7313', severity: 'error', message: `--lengths: ${short} tokens are too few for a question`, help: `the least is ${SHORTEST}` }], 2);
}

/** The plans, of any format that is compiled, for the model's config. */
async function readPlans(paths: readonly string[], model: string, output: Output, quiet: boolean): Promise<readonly NamedPlan[]> {
  const diagnostics = new DiagnosticList();
  const plans: NamedPlan[] = [];
  for (const [index, path] of paths.entries()) {
    const { plan, config } = await readInputs(path, { model }, diagnostics);
    const read = plan && readPlan(plan, config, {}, diagnostics);
    if (read !== undefined) plans.push({ id: index === 0 ? 'plan' : `plan-${index + 1}`, title: path, module: read.module });
  }
  if (plans.length < paths.length) throw new DiagnosticError(diagnostics.toArray(), 2);
  sayDiagnostics(output, diagnostics.toArray(), quiet);
  return plans;
}

/** The plan that the package in this place of the command line was compiled from: the one in the same place. */
function planOf(subjects: readonly Subject[], plans: readonly NamedPlan[], index: number): Subject {
  const plan = plans[index];
  if (plan !== undefined) return subjects.find(({ id }) => id === plan.id)!;
  throw new DiagnosticError([{ code: 'MOA7313', severity: 'error', message: `--package is given ${index + 1} times, and --plan ${plans.length} times`, help: 'the first package is that of the first plan, and so on' }], 2);
}

async function inTemporaryFolder<Result>(work: (folder: string) => Promise<Result>): Promise<Result> {
  const folder = mkdtempSync(join(tmpdir(), 'moa-evaluate-'));
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  const forget = onInterrupt(remove);
  try {
    return await work(folder);
  } finally {
    forget();
    remove();
  }
}

function parsed(text: Uint8Array, file: string): Evaluation {
  const diagnostics = new DiagnosticList();
  const evaluation = readAnswer(text, file, diagnostics);
  if (evaluation === undefined) throw new DiagnosticError(diagnostics.toArray(), 1);
  return evaluation;
}
