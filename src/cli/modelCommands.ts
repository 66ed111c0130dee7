import { findPython, handOverToPython, pythonArguments, type PythonOptions } from '../search/python.ts';
import { environmentVariables } from '../util/debug.ts';
import type { Output } from './output.ts';

/** Options of a command that Python does: by their names in commander, which are also Python's but for the spelling. */
export type ModelCommandOptions = PythonOptions & { readonly python?: string; readonly quiet?: boolean };

/** A command that runs a model, in Python, with our standard input and output. Returns the exit code. */
export async function modelCommand(name: string, options: ModelCommandOptions, output: Output): Promise<number> {
  const { python: asked, ...given } = options;
  const python = await findPython(asked, environmentVariables(), { name });
  if (options.quiet !== true) output.say(`python: ${python.path}, ${python.description}`);
  return handOverToPython(python, [name, ...pythonArguments(given)]);
}
