/**
 * Whether an output can be written, found out before anything long runs and without a change to the
 * disk: what these functions pass, the writers accept, but for a disk that fills up or changes
 * meanwhile.
 */
import fs from 'node:fs';
import { basename, dirname, resolve, sep } from 'node:path';
import { DiagnosticError } from '../util/diagnostics.ts';
import { diskDiagnostic, errorCode } from './diskDiagnostics.ts';
import { isMountPoint } from './mountPoints.ts';
import { locateOutput, refusal, refuseForeign } from './outputFolder.ts';
import { diskFileSystem, folderState } from './packageFileSystem.ts';
import { lostPackage, temporaryNameBytes } from './packageLeftovers.ts';

/** Of Linux: the most bytes of one name. */
const longestName = 255;
/** proc and sysfs, which have no files but their own, whatever permissions say. */
const pseudoFileSystems: readonly number[] = [0x9fa0, 0x62656572];

/**
 * Whether `writePackage` would accept the folder `outputDir`. Throws the DiagnosticError that it
 * would throw: MOA5002 to MOA5007, MOA5013; and MOA5014 where the folder holds one of `inputs`,
 * which would be deleted with it.
 */
export function checkOutputFolder(
  outputDir: string,
  { force = false, inputs = [] }: { readonly force?: boolean; readonly inputs?: readonly string[] },
): void {
  described(outputDir, () => {
    checkNames(outputDir);
    const target = locateOutput(diskFileSystem, outputDir);
    refuseInputs(outputDir, target, inputs);
    const state = folderState(diskFileSystem, target);
    // What a killed run has left half removed is restored before anything is written.
    const isRestored = lostPackage(diskFileSystem, dirname(target), basename(target)) !== undefined;
    if (state === 'full' && !isRestored) refuseForeign(diskFileSystem, target, force);
    if (state !== 'absent' && isMountPoint(target)) {
      throw refusal(
        'MOA5007',
        `${outputDir} is a mount point, so it cannot be replaced`,
        `write to a folder inside it, as ${outputDir}/package`,
      );
    }
    checkParent(outputDir, dirname(target));
    if (state !== 'absent') checkSticky(outputDir, target);
  });
}

/**
 * Whether a file can be written at `path`, in place of a regular file or of none, in a folder that
 * exists. Throws MOA5001 to MOA5006, MOA5013, and MOA5014 where it is one of `inputs`.
 */
export function checkOutputFile(path: string, inputs: readonly string[] = []): void {
  described(path, () => {
    checkNames(path);
    const target = resolve(path);
    const refused = (why: string, help: string): DiagnosticError =>
      refusal('MOA5004', `cannot write ${path}: ${why}`, help);
    if (path.endsWith(sep)) throw refused('it names a folder', 'add the name of a file');
    refuseInputs(path, target, inputs);
    const status = fs.statSync(target, { throwIfNoEntry: false });
    if (status?.isDirectory() === true)
      throw refused('it is a folder', `name a file in it, as ${path}${sep}plan.json`);
    if (status !== undefined && !status.isFile())
      throw refused('it is no regular file', 'name another file');
    const parent = dirname(target);
    if (fs.statSync(parent, { throwIfNoEntry: false }) === undefined) {
      throw refusal(
        'MOA5001',
        `cannot write ${path}: there is no folder ${parent}`,
        `make it first: mkdir -p ${parent}`,
      );
    }
    checkParent(path, parent);
    if (status !== undefined) checkSticky(path, target);
  });
}

/** Runs `check`; an error of the file system becomes the diagnostic that names `path`. */
function described(path: string, check: () => void): void {
  try {
    check();
  } catch (error) {
    if (error instanceof DiagnosticError) throw error;
    throw new DiagnosticError([diskDiagnostic(error, path)], 1);
  }
}

/**
 * Names that Node could not decode arrive with U+FFFD in them; a folder of that name would not be
 * the one that is meant.
 */
function checkNames(path: string): void {
  if (path.includes('\ufffd'))
    throw refusal('MOA5013', 'the name of the output is not UTF-8', 'choose a name in UTF-8');
  const names = resolve(path).split(sep);
  const tooLong = names.some((name) => Buffer.byteLength(name) > longestName);
  if (tooLong || temporaryNameBytes(names.at(-1)!) > longestName) {
    throw refusal(
      'MOA5013',
      `the name ${names.at(-1)!.slice(0, 40)}... is too long: what is temporary beside it has a longer one`,
      'choose a shorter name',
    );
  }
}

function refuseInputs(output: string, target: string, inputs: readonly string[]): void {
  const real = realPath(target);
  const within = inputs.find((input) => {
    const path = realPath(resolve(input));
    return path === real || path.startsWith(`${real}${sep}`);
  });
  if (within === undefined) return;
  throw refusal(
    'MOA5014',
    `${output} ${realPath(resolve(within)) === real ? 'is' : 'holds'} the input ${within}, which would be lost`,
    'write to another place, or move the input',
  );
}

/** The nearest folder above that exists must take a new one; those between are made. */
function checkParent(output: string, parent: string): void {
  const status = fs.statSync(parent, { throwIfNoEntry: false });
  if (status === undefined) {
    if (fs.lstatSync(parent, { throwIfNoEntry: false }) !== undefined)
      throw refusal(
        'MOA5004',
        `${parent} is a link that leads nowhere`,
        'remove the link, or make the folder that it names',
      );
    return checkParent(output, dirname(parent));
  }
  if (!status.isDirectory())
    throw refusal(
      'MOA5004',
      `cannot write ${output}: ${parent} is a file`,
      'choose a path whose parents are all folders',
    );
  fs.accessSync(parent, fs.constants.W_OK | fs.constants.X_OK);
  const { type, blocks, bfree, bavail, files, ffree } = fs.statfsSync(parent);
  // Some room is kept for root.
  const free = process.geteuid?.() === 0 ? bfree : bavail;
  if (pseudoFileSystems.includes(type))
    throw refusal(
      'MOA5005',
      `cannot write ${output}: ${parent} takes no files`,
      'choose a folder on another file system',
    );
  if ((blocks > 0 && free === 0) || (files > 0 && ffree === 0)) {
    throw refusal(
      'MOA5006',
      `cannot write ${output}: no space is left`,
      'free some space, or choose a folder on another disk; what was there before is unchanged',
    );
  }
}

/** In a folder like /tmp only its owner may rename something away. */
function checkSticky(output: string, target: string): void {
  const user = process.geteuid?.();
  const parent = fs.statSync(dirname(target));
  const isSticky = (parent.mode & 0o1000) !== 0;
  if (
    user === undefined ||
    user === 0 ||
    !isSticky ||
    parent.uid === user ||
    fs.lstatSync(target).uid === user
  )
    return;
  throw refusal(
    'MOA5005',
    `cannot write ${output}: it belongs to another user, and only that one may replace it`,
    'choose another folder',
  );
}

function realPath(path: string): string {
  try {
    return fs.realpathSync(path);
  } catch (error) {
    if (errorCode(error) === undefined) throw error;
    return path;
  }
}
