/**
 * Writes docs/diagnostics.md from the compiled sources, so that no code is without a line, and no line without a code.
 *
 *     node scripts/setup.mjs && node scripts/diagnostics.mjs [--check]
 *
 * With --check nothing is written; exit code 1 says that the document is not current.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { DISK_CODES } from '../dist/emit/diskDiagnostics.js';
import { PASS_CODES } from '../dist/passes/assignRanks/rankProblem.js';
import { PLAN_CODES } from '../dist/plan/codes.js';
import { runtimeErrorCodes } from '../dist/runtime/runtimeError.js';
import { PROFILER_CODES, SEARCH_CODES } from '../dist/search/codes.js';
import { TOOLCHAIN_CODES } from '../dist/toolchain/toolchainCodes.js';
import { INPUT_CODES } from '../dist/util/inputCodes.js';

const path = fileURLToPath(new URL('../docs/diagnostics.md', import.meta.url));
const sources = fileURLToPath(new URL('../src', import.meta.url));

/** Codes that stand in the sources alone. */
const optionCodes = {
  MOA2001: 'A package was asked for, and no folder to put it in.',
  MOA2002: '`--check` was given without the folder to compare with.',
  MOA2003: '`--check`: a file differs from what the compiler makes today, or machine code is missing or damaged.',
  MOA2004: '`--check`: machine code is whole, and was not compared with what nvcc would make.',
  MOA2010: 'An option of `compile` or `compilePackage`, given by a program, is not known, or not of the kind that it is.',
};
const internalCodes = { MOA9001: 'A bug of moa-compile. Please report it with the command.' };

/** What each error of the runtime means, by its name in `runtimeErrorCodes`. */
const runtimeMeanings = {
  noDriver: 'There is no NVIDIA driver, it is too old, or it sees no GPU.',
  addonMissing: 'The native addon was not built, or cannot be loaded.',
  noSuchDevice: 'There is no GPU of this number, or it cannot be used.',
  badArgument: 'An argument is not what the call takes.',
  usedAfterDispose: 'Something was used after it was disposed.',
  outOfMemory: 'The device has not so much memory left.',
  outOfRange: 'An offset or a size lies outside of a buffer.',
  badModule: 'The device cannot load this module.',
  kernelNotFound: 'The module has no kernel of this name.',
  wrongParams: "The parameters do not have the size that the kernel's have.",
  capture: 'A capture does not allow this call.',
  wrongDeviceKind: 'Only the other kind of device has this call.',
  emulatorFinding: 'The emulator found a mistake in a kernel.',
  deviceLost: 'The GPU is lost to this process, by an earlier error.',
  driverFailure: 'Another call of the driver failed; the message names it.',
  sequenceFull: "A sequence would grow past the session's length bound.",
  noSuchLayer: 'The session does not serve this layer.',
  badTensor: 'A tensor is too small, not aligned, of another device, shape or element type.',
  badCuSeqlens: '`cuSeqlens` is not batch + 1 integers from 0 that never fall.',
  badOptions: 'An option of a session is not legal.',
  noSuchSequence: 'There is no such slot, or it holds no sequence.',
  noFreeSlot: 'Every slot holds a sequence.',
  poolFull: 'The pool may have fewer free pages than the new tokens of a step need.',
  tooManyTokens: 'A decode of more tokens of a sequence than the session, or its package, was made for.',
  cannotTruncate: 'A ring has lost tokens that would be attended after the truncation, or the sequence has fewer tokens.',
  badCall: 'A call of a session was given something else than its tensors, or a key that it does not know.',
  badCounts: '`counts` of a decode is not an integer from 0 to `tokens` for each slot.',
  inStep: 'A fork in the middle of a step: some layers have its new tokens and others have not.',
  packageFormat: 'The package is of a format that this runtime does not read.',
  packageKernel: 'The package has no kernel for these options.',
  packageArchitecture: 'The package has no machine code for this GPU.',
  packageDamaged: 'A file of the package is missing or damaged.',
  emulatorBuild: 'The libraries of the emulator could not be built.',
  packageSources: 'The package holds machine code alone, and the emulator runs sources.',
  packageLimits: 'A kernel of the package needs more than this GPU has: shared memory of a block, threads or registers.',
};

/** Errors of `attach` in Python, from `python/moa_compile/errors.py`. Node runs no models. */
const modelMeanings = {
  modelPackage: 'The package was compiled for another model, or the model has changed.',
  modelPlacement: 'The model lies on several devices, or has an element type that the package does not serve.',
  modelState: 'The model is in training, or gradients are wanted.',
  badCache: "A cache of another kind or of another model, one that was closed, or of other rows than the batch's.",
  badMask: 'attention_mask is missing, has another shape than [batch, columns], or differs from before.',
  badPositions: 'Positions do not rise by 1: rows hold several sequences, or gaps.',
  noAttentions: 'Attention weights were asked for.',
  overBound: 'A row would have more tokens than the length bound, or the bound is not known.',
  notAttached: 'The model is not attached, or its layers were called outside of its forward.',
  attached: 'The model is attached, and is attached again, copied or pickled.',
  unsupportedModel: 'The model is no causal decoder of transformers, or leaves layers out.',
  rankGroup: "There is no process group of torch.distributed, or one of another number of ranks than the package's.",
  rankPackage: 'The package is not for several ranks, or its tensor-parallel.json is damaged.',
  rankModel: 'The model cannot be divided over ranks, or is divided in another way.',
  rankFailed: 'Another rank could not do its part, does not answer, or does something else, so none did.',
  rankCheckpoint: 'Weights that a rank reads from files are missing, or of other shapes.',
  rankState: 'A model that is divided over ranks was to be saved, copied or pickled, or was given weights that are not whole.',
};

/** The codes of `modelMeanings`, read from the Python source. */
function modelCodes() {
  const source = readFileSync(new URL('../python/moa_compile/errors.py', import.meta.url), 'utf8');
  const entries = [...source.matchAll(/"(\w+)": "(MOA63\d{2})"/g)].map(([, name, code]) => {
    if (!Object.hasOwn(modelMeanings, name)) throw new Error(`scripts/diagnostics.mjs does not describe ${name} (${code})`);
    return [code, modelMeanings[name]];
  });
  if (entries.length !== Object.keys(modelMeanings).length) throw new Error('scripts/diagnostics.mjs describes an error that python/moa_compile/errors.py does not have');
  return Object.fromEntries(entries);
}

function runtimeCodes() {
  for (const name of Object.keys(runtimeMeanings)) if (!Object.hasOwn(runtimeErrorCodes, name)) throw new Error(`scripts/diagnostics.mjs describes ${name}, which is no error of the runtime`);
  return Object.fromEntries(
    Object.entries(runtimeErrorCodes).map(([name, code]) => {
      if (!Object.hasOwn(runtimeMeanings, name)) throw new Error(`scripts/diagnostics.mjs does not describe ${name} (${code})`);
      return [code, runtimeMeanings[name]];
    }),
  );
}

const sections = [
  { title: '1xxx: input files', source: '`src/util/inputCodes.ts`, `src/plan/codes.ts`', codes: { ...INPUT_CODES, ...PLAN_CODES } },
  { title: '2xxx: the command line', source: '`src/cli`', codes: optionCodes },
  { title: '3xxx: passes', source: '`src/passes/assignRanks/rankProblem.ts`', codes: PASS_CODES },
  { title: '4xxx: nvcc, architectures and the compiler of the emulator', source: '`src/toolchain/toolchainCodes.ts`', codes: TOOLCHAIN_CODES },
  { title: '5xxx: the disk', source: '`src/emit/diskDiagnostics.ts`', codes: DISK_CODES },
  { title: '6xxx: the runtime', source: '`src/runtime/runtimeError.ts`', codes: runtimeCodes() },
  { title: '63xx: models of Hugging Face, in Python', source: '`python/moa_compile/errors.py`', codes: modelCodes() },
  { title: '7xxx: the search', source: '`src/search/codes.ts`', codes: { ...SEARCH_CODES, ...PROFILER_CODES } },
  { title: '9xxx: bugs', source: '`src/cli/main.ts`', codes: internalCodes },
];

/** Codes that the sources name and no section lists. */
function unlisted() {
  const listed = new Set(sections.flatMap(({ codes }) => Object.keys(codes)));
  const files = readdirSync(sources, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
  const named = files.flatMap((name) => readFileSync(`${sources}/${name}`, 'utf8').match(/\bMOA\d{4}\b/g) ?? []);
  // Numbers in examples of comments belong to a listed code as well.
  return [...new Set(named)].filter((code) => !listed.has(code));
}

const missing = unlisted();
if (missing.length > 0) throw new Error(`the sources name ${missing.join(', ')}, which scripts/diagnostics.mjs does not list`);

const text = `# Diagnostics

Every problem has a stable code, the file with line and column, the JSON path of the value, and advice where there is any:

    plan.json:8:9: error MOA1110: alpha 0.5 is not an integer (at alphas[0][1])
        help: alpha is a whole number of tokens; it may be negative

All problems of an input are reported at once, up to 100; of many equal ones a few, and how many more there are. A mistake that explains a whole matrix of wrong numbers
(percent, alphas and betas swapped) is one error with the guess. Errors of the runtime are thrown as a \`RuntimeError\` with the same kind of code. A code is never given
to another meaning. \`scripts/diagnostics.mjs\` writes this page from the sources.
${sections.map(({ title, source, codes }) => `\n## ${title}\n\nFrom ${source}.\n\n| code | meaning |\n|---|---|\n${Object.entries(codes).map(([code, meaning]) => `| ${code} | ${meaning} |\n`).join('')}`).join('')}`;

if (!process.argv.includes('--check')) writeFileSync(path, text);
else if (readFileSync(path, 'utf8') !== text) {
  process.stderr.write('docs/diagnostics.md is not current: run node scripts/diagnostics.mjs, and read what changed\n');
  process.exitCode = 1;
}
