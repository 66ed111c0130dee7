import { findPython, handOverToPython } from '../search/python.ts';
import { environmentVariables } from '../util/debug.ts';
import type { Output } from './output.ts';

/** Options of a command that Python does: by their names in commander, which are also Python's but for the spelling. */
export interface ModelCommandOptions {
  readonly python?: string;
  readonly quiet?: boolean;
  readonly [name: string]: string | number | boolean | readonly (string | number)[] | undefined;
}

/** A command that runs a model, in Python, with our standard input and output. Returns the exit code. */
export async function modelCommand(name: string, options: ModelCommandOptions, output: Output): Promise<number> {
  const { python: asked, ...given } = options;
  const python = await findPython(asked, environmentVariables(), { name });
  if (options.quiet !== true) output.say(`python: ${python.path}, ${python.description}`);
  return handOverToPython(python, [name, ...pythonArguments(given)]);
}

/** `{ newTokens: 64, static: true }` as `--new-tokens 64 --static`; a list is joined by commas. A value that begins with a dash is one, and no option. */
export function pythonArguments(options: ModelCommandOptions): string[] {
  return Object.entries(options).flatMap(([name, value]) => {
    const flag = `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    if (value === undefined || value === false) return [];
    return value === true ? [flag] : [`${flag}=${Array.isArray(value) ? value.join(',') : String(value)}`];
  });
}
