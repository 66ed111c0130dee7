import { printable } from '../emit/verifyPackage.ts';
import { checkPackage, type PackageCheck } from '../toolchain/checkPackage.ts';
import { stableJson } from '../util/stableJson.ts';
import type { Output } from './output.ts';

export interface VerifyOptions {
  readonly json?: boolean;
  readonly quiet?: boolean;
}

/**
 * `moa-compile verify DIR`: whether the package is whole, from the folder alone. Returns the exit
 * code: 1 when it is not.
 */
export async function verifyCommand(
  folder: string,
  options: VerifyOptions,
  output: Output,
): Promise<number> {
  const checked = checkPackage(folder);
  const { problems } = checked;
  for (const { code, message } of problems) output.say(`error ${code}: ${message}`);
  if (problems.length > 0)
    output.say('    help: compile the plan again, or copy the whole package again');
  if (problems.length > 1) output.say(`${problems.length} errors`);
  if (options.json === true) output.print(stableJson(resultOf(folder, checked)).trimEnd());
  else if (problems.length === 0 && options.quiet !== true)
    output.print(`${folder} is whole: ${countsOf(checked)}`);
  return problems.length === 0 ? 0 : 1;
}

function resultOf(folder: string, { problems, ...counts }: PackageCheck): unknown {
  const listed = problems.map(({ code, path, message }) => ({
    code,
    path: printable(path),
    message,
  }));
  return {
    package: folder,
    result: problems.length === 0 ? 'whole' : 'damaged',
    problems: listed,
    ...counts,
  };
}

function countsOf({ files, images, definitions, ranks }: PackageCheck): string {
  const many = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`;
  return [
    ...(ranks === undefined ? [] : [many(ranks, 'rank')]),
    many(files, 'file'),
    many(images, 'image') + ' of machine code',
    many(definitions, 'definition'),
  ].join(', ');
}
