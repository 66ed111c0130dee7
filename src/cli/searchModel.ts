/** The stages of a whole search that run the model. What they make stays in the work folder; a stage whose result is there is not run again. */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { readProblem } from '../plan/readInput.ts';
import type { FrontPoint } from '../search/front.ts';
import type { Instance } from '../search/instance.ts';
import { holdsSameModel, modelFingerprint } from '../search/modelFingerprint.ts';
import { findPython, runPython, type Python } from '../search/python.ts';
import { readValidation, validationRequest, type Validation } from '../search/validation.ts';
import { hashOfFile, isDone, keyOf, makeFolder, removeKey, writeKey, writeWhole } from '../search/workFolder.ts';
import { environmentVariables } from '../util/debug.ts';
import { DiagnosticError, DiagnosticList } from '../util/diagnostics.ts';
import type { Output } from './output.ts';
import type { SearchOptions } from './searchRequest.ts';

export interface ModelStages {
  /** Of the model's folder. */
  readonly fingerprint: string;
  /** Makes the profile, or finds it made; its path. */
  profile(): Promise<string>;
  /** Loss and accuracy of `plans` at `length`. */
  validate(instance: Instance, plans: readonly FrontPoint[], length: number): Promise<Validation>;
}

/** Finds Python and looks at the inputs, so that what is missing is said before anything long runs. */
export async function openModelStages(options: SearchOptions, output: Output): Promise<ModelStages> {
  const model = folderOf(options.model!);
  const folder = options.work ?? `${options.output!}.search`;
  const data = options.data;
  const validationData = options.validationData ?? data;
  const fingerprint = await readableAsync(model, () => modelFingerprint(model));
  const identity = fingerprint.sha256;
  const hashes = new Map<string, string>();
  for (const path of new Set([data, validationData])) if (path !== undefined) hashes.set(path, await readableAsync(path, () => hashOfFile(path)));
  const python = await findPython(options.python, environmentVariables());
  if (options.quiet !== true) output.say(`python: ${python.path}, ${python.description}`);
  makeFolder(folder);

  const common = [
    ...(options.device === undefined ? [] : ['--device', options.device]),
    ...(options.dtype === undefined ? [] : ['--dtype', options.dtype]),
    ...(options.samples === undefined ? [] : ['--samples', String(options.samples)]),
    ...(options.queryBlock === undefined ? [] : ['--query-block', String(options.queryBlock)]),
    ...(options.quiet === true ? ['--quiet'] : []),
  ];
  const { samples = null, dtype = null } = options;
  /** What a stage made is of the model and the data that the search began with, or it is no result. */
  const requireUnchanged = async (result: string): Promise<void> => {
    const same = await readableAsync(model, () => holdsSameModel(model, fingerprint));
    const moved = same ? await changedData(hashes) : model;
    if (moved === undefined) return;
    rmSync(result, { force: true });
    removeKey(result);
    const help = 'run the search again, with files that stay as they are';
    throw new DiagnosticError([{ code: 'MOA7310', severity: 'error', message: `${moved} changed while the search ran`, help }], 2);
  };
  return {
    fingerprint: identity,
    profile: async () => {
      const path = join(folder, 'profile.safetensors');
      const key = keyOf({ identity, data: hashes.get(data!)!, lengths: options.lengths!, samples, dtype, target: options.target });
      if (options.restart === true) rmSync(path, { force: true });
      if (isDone(path, key)) return path;
      if (existsSync(path)) {
        const help = 'name another folder with --work, or begin anew with --restart';
        throw new DiagnosticError([{ code: 'MOA7309', severity: 'error', message: `${path} was made from another model, other data or with other options`, help }], 2);
      }
      writeKey(path, key);
      await runPython(python, ['profile', '--model', model, '--data', data!, '--lengths', options.lengths!.join(','), '--output', path, '--target', options.target, ...common, ...(options.restart === true ? ['--restart'] : [])]);
      await requireUnchanged(path);
      return path;
    },
    validate: async (instance, plans, length) => {
      const request = validationRequest(instance, plans, length);
      const answer = join(folder, 'validation.json');
      const key = keyOf({ identity, data: hashes.get(validationData!)!, request, samples, dtype });
      if (options.restart === true || !isDone(answer, key)) {
        await askValidation(python, folder, request, answer, key, ['--model', model, '--data', validationData!, ...common]);
        await requireUnchanged(answer);
      }
      const diagnostics = new DiagnosticList();
      const validation = readValidation(readFileSync(answer), answer, length, plans.length, diagnostics);
      if (validation === undefined) {
        removeKey(answer);
        throw new DiagnosticError(diagnostics.toArray(), 1);
      }
      return validation;
    },
  };
}

async function askValidation(python: Python, folder: string, request: string, answer: string, key: string, args: readonly string[]): Promise<void> {
  const path = join(folder, 'request.json');
  writeWhole(path, request);
  rmSync(answer, { force: true });
  writeKey(answer, key);
  await runPython(python, ['validate', '--request', path, '--output', answer, ...args]);
}

/** The folder of a model that is named by its config.json. */
export function folderOf(model: string): string {
  return basename(model) === 'config.json' && existsSync(model) ? dirname(resolve(model)) : model;
}

/** The first of these files whose contents have another hash now. */
async function changedData(hashes: ReadonlyMap<string, string>): Promise<string | undefined> {
  for (const [path, hash] of hashes) if ((await readableAsync(path, () => hashOfFile(path))) !== hash) return path;
  return undefined;
}

/** Runs what reads `path`; an error of the disk becomes a diagnostic that names it. */
async function readableAsync<Result>(path: string, read: () => Promise<Result>): Promise<Result> {
  try {
    return await read();
  } catch (error) {
    throw unreadable(path, error);
  }
}

function unreadable(path: string, error: unknown): unknown {
  const systemCode = (error as NodeJS.ErrnoException).code;
  if (systemCode === undefined) return error;
  const [code, message, help] = readProblem(systemCode);
  return new DiagnosticError([{ code, severity: 'error', message: `${path}: ${message}`, help }], 2);
}
