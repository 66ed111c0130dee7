import { checkOutputFile } from '../emit/checkOutput.ts';
import { findPython, runPython } from '../search/python.ts';
import { environmentVariables } from '../util/debug.ts';
import type { Output } from './output.ts';
import { folderOf } from './searchModel.ts';

export interface CalibrateOptions {
  readonly output: string;
  readonly model: string;
  readonly lengths: readonly number[];
  readonly questions?: string;
  readonly texts?: string;
  readonly kinds?: string;
  readonly samples?: number;
  readonly answerTokens?: number;
  readonly seed?: number;
  readonly keepRight?: boolean;
  readonly keepAll?: boolean;
  readonly prompt?: string;
  readonly batch?: number;
  readonly python?: string;
  readonly device?: string;
  readonly dtype?: string;
  readonly restart?: boolean;
  readonly quiet?: boolean;
}

/** `moa-compile calibrate`: samples for a search, with the answers of the dense model itself. Python does it (python/moa_compile/calibrate). */
export async function calibrateCommand(options: CalibrateOptions, output: Output): Promise<void> {
  const { questions, texts } = options;
  const model = folderOf(options.model);
  checkOutputFile(options.output, [model, questions, texts].filter((path) => path !== undefined));
  const python = await findPython(options.python, environmentVariables(), { name: 'the calibration' });
  if (options.quiet !== true) output.say(`python: ${python.path}, ${python.description}`);
  const summary = await runPython(python, ['calibrate', ...argumentsOf(options, model)], { lessMemory: '--batch 1', hasOutput: true });
  if (summary !== '') output.print(summary.trimEnd());
}

/** The same options, as Python's command line has them. What is left out has its default there. */
function argumentsOf(options: CalibrateOptions, model: string): string[] {
  const values = {
    model,
    lengths: options.lengths.join(','),
    output: options.output,
    questions: options.questions,
    texts: options.texts,
    kinds: options.kinds,
    samples: options.samples,
    'answer-tokens': options.answerTokens,
    seed: options.seed,
    prompt: options.prompt,
    batch: options.batch,
    device: options.device,
    dtype: options.dtype,
  };
  const flags = { 'keep-right': options.keepRight, 'keep-all': options.keepAll, restart: options.restart, quiet: options.quiet };
  return [
    // One word each, so that a value may begin with a dash.
    ...Object.entries(values).flatMap(([name, value]) => (value === undefined ? [] : [`--${name}=${value}`])),
    ...Object.entries(flags).flatMap(([name, given]) => (given === true ? [`--${name}`] : [])),
  ];
}
