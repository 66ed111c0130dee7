import { checkOutputFile } from '../emit/checkOutput.ts';
import { findPython, pythonArguments, runPython } from '../search/python.ts';
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

/** The options of Python's command. */
function argumentsOf(options: CalibrateOptions, model: string): string[] {
  const { lengths, output, questions, texts, kinds, samples, answerTokens, seed, prompt, batch, device, dtype, keepRight, keepAll, restart, quiet } = options;
  return pythonArguments({ model, lengths, output, questions, texts, kinds, samples, answerTokens, seed, prompt, batch, device, dtype, keepRight, keepAll, restart, quiet });
}
