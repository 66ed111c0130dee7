import type { BuiltPackage, EmitKind } from '../compilePackage.ts';
import { comparePackage, type PackageDifference } from '../emit/comparePackage.ts';
import { errorCode, unreadablePackage } from '../emit/diskDiagnostics.ts';
import { printable } from '../emit/verifyPackage.ts';
import type { Target } from '../toolchain/architectures.ts';
import { DiagnosticError, type Diagnostic, type DiagnosticList } from '../util/diagnostics.ts';
import { stableJson } from '../util/stableJson.ts';
import { checkMachineCode, machineCodePaths } from './checkMachineCode.ts';
import { sayDiagnostics, type Output } from './output.ts';

export interface FolderCheckOptions {
  readonly output?: string;
  readonly emit: readonly EmitKind[];
  readonly tp?: number;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

/**
 * `--check`: whether the folder holds what the compiler emits today. Machine code depends on nvcc,
 * which is not run: it is compared with the folder's own manifest, and a note says so.
 */
export function checkFolder(
  built: BuiltPackage,
  targets: readonly Target[],
  options: FolderCheckOptions,
  output: Output,
  diagnostics: DiagnosticList,
): number {
  const quiet = options.quiet === true;
  sayDiagnostics(output, diagnostics.toArray(), quiet);
  const expected = options.emit.includes('cubin') ? machineCodePaths(targets, options.tp) : [];
  const sources = differencesOf(built, options.output!);
  const machineCode = checkMachineCode(options.output!, expected);
  const differences = [...sources, ...machineCode.differences].sort((a, b) =>
    a.path < b.path ? -1 : 1,
  );
  const { notCompared } = machineCode;
  const isCurrent = differences.length === 0;
  if (options.json === true) {
    const result = isCurrent ? 'current' : 'different';
    output.print(
      stableJson({
        output: options.output,
        result,
        differences,
        ...(notCompared.length === 0 ? {} : { notCompared }),
      }).trimEnd(),
    );
  } else if (isCurrent && !quiet) output.print(`${options.output} is current`);
  for (const { path, kind } of differences)
    output.say(`${options.output}/${printable(path)}: error MOA2003: ${kind}`);
  if (!isCurrent)
    output.say(`    help: compile the plan again with -o ${options.output}, and read what changed`);
  if (notCompared.length > 0) sayDiagnostics(output, [notComparedNote(notCompared)], quiet);
  return isCurrent ? 0 : 1;
}

function notComparedNote(paths: readonly string[]): Diagnostic {
  const shown = `${paths.slice(0, 3).join(', ')}${paths.length > 3 ? ` and ${paths.length - 3} more` : ''}`;
  const message = `machine code is not compared with what nvcc would make: ${shown}; it is whole, and as the manifest lists it`;
  return {
    code: 'MOA2004',
    severity: 'note',
    message,
    help: 'compile the plan again to be sure: a package that would not change is not touched',
  };
}

function differencesOf(built: BuiltPackage, folder: string): readonly PackageDifference[] {
  try {
    return comparePackage(built.files, folder, { ignoreMachineCode: true });
  } catch (error) {
    if (errorCode(error) === undefined) throw error;
    throw new DiagnosticError([unreadablePackage(folder, error)], 1);
  }
}
