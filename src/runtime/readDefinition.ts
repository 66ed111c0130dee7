import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { definitionFormat, type PlanDefinition } from '../ir/planDefinition.ts';
import { describeValue } from '../util/describeValue.ts';
import { isRecord } from '../util/isRecord.ts';
import { RuntimeError } from './runtimeError.ts';

/**
 * Reads `definition.json` of a package.
 * @throws RuntimeError MOA6201 for another format than this runtime's, MOA6204 where it cannot be read
 */
export function readDefinition(file: string | URL): PlanDefinition {
  const path = typeof file === 'string' ? file : fileURLToPath(file);
  const value = parseDefinition(path);
  if (!isRecord(value)) throw damaged(`${path} is not a definition`);
  checkFormat(value['format']);
  return value as unknown as PlanDefinition;
}

/** Throws MOA6201 for a format that this runtime does not read. */
export function checkFormat(format: unknown): void {
  if (format === definitionFormat) return;
  throw new RuntimeError('packageFormat', `the package has format ${describeValue(format)}; this runtime reads format ${definitionFormat}`, 'compile the plan again with the moa-compile that is installed');
}

function parseDefinition(path: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw damaged(`${path} cannot be read (${(error as NodeJS.ErrnoException).code}): it is no package, or one of an older moa-compile`);
  }
  try {
    return JSON.parse(text);
  } catch {
    throw damaged(`${path} is not JSON`);
  }
}

const damaged = (message: string): RuntimeError => new RuntimeError('packageDamaged', message, 'compile the plan again and replace the whole package');
