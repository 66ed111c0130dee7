/** The command line: options to commands, errors to exit codes: 0 done, 1 failed, 2 bad usage or input. A signal ends it as that signal. */
import { Argument, Command, CommanderError, Option } from 'commander';
import { cleanupOnSignal, onInterrupt } from '../emit/cleanupOnSignal.ts';
import { definitionJsonSchema } from '../emit/definitionJsonSchema.ts';
import { errorCode } from '../emit/diskDiagnostics.ts';
import { BASELINES, KINDS } from '../evaluate/kinds.ts';
import { cacheFolder } from '../toolchain/cacheFolder.ts';
import { ASSUME_PLAIN_FLAG } from '../plan/config/assumePlain.ts';
import { SINK_RANGE, WINDOW_RANGE } from '../plan/formats/streamingRule.ts';
import { planJsonSchema } from '../plan/planJsonSchema.ts';
import { clearCache, listCache } from '../toolchain/kernelCache.ts';
import { removeStaleTemporaryFolders } from '../toolchain/temporaryFolder.ts';
import { balancedLengths } from '../passes/assignRanks.ts';
import { environment, environmentVariables } from '../util/debug.ts';
import { DiagnosticError } from '../util/diagnostics.ts';
import { stableJson } from '../util/stableJson.ts';
import { version } from '../version.ts';
import { calibrateCommand, type CalibrateOptions } from './calibrateCommand.ts';
import { checkPlanCommand, type CheckPlanOptions } from './checkPlanCommand.ts';
import type { EvaluateOptions } from './evaluateCommand.ts';
import { modelCommand, type ModelCommandOptions } from './modelCommands.ts';
import { inspectCommand, type InspectOptions } from './inspectCommand.ts';
import { collect, emitKinds, parseAblations, parseCacheType, parseCount, parseElementTypes, parseEmit, parseFraction, parseIntegerFrom, parseLengthOption, parseLengths, parseNumber, parseOneOf, parseOutput, parsePass, parseStopAfter, parseValuesAt } from './options.ts';
import { allWasSaid, formatBytes, sayDiagnostics, standardOutput } from './output.ts';
import { inputFormats } from './readInputs.ts';
import { verifyCommand, type VerifyOptions } from './verifyCommand.ts';
import type { CompileCommandOptions } from './compileCommand.ts';
import type { SearchOptions } from './searchRequest.ts';

/** Runs the command line `args` (without node and script); returns the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  cleanupOnSignal();
  onInterrupt(() => standardOutput(false).say('interrupted; the output is as it was, or whole'));
  let code = 0;
  const program = commandLine(async (run) => {
    removeStaleTemporaryFolders();
    code = (await run()) ?? 0;
  });
  try {
    await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    code = exitCodeOf(error, args);
  }
  // An error or a warning that no one could read is not success.
  return allWasSaid() ? code : code || 1;
}

function exitCodeOf(error: unknown, args: readonly string[]): number {
  const output = standardOutput(false);
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (error instanceof DiagnosticError) {
    sayDiagnostics(output, error.diagnostics, args.includes('-q') || args.includes('--quiet'));
    const errors = error.diagnostics.filter((diagnostic) => diagnostic.severity === 'error').length;
    if (errors > 1) output.say(`${errors} errors`);
    return error.exitCode;
  }
  const message = error instanceof Error ? error.message : String(error);
  if (isRefusedBySystem(error)) {
    output.say(`error MOA5017: ${message}\n    help: check permissions, links and free space of what it names`);
    return 1;
  }
  output.say(`error MOA9001: ${message}\n    help: this is a bug of moa-compile; please report it with the command`);
  if (environment().debugLevel > 0 && error instanceof Error) output.say(error.stack ?? '');
  return 1;
}

/** An error of a call of the operating system, which no code of ours could have avoided. */
const isRefusedBySystem = (error: unknown): boolean => errorCode(error) !== undefined && error instanceof Error && 'syscall' in error;

type Run = (command: () => Promise<number | void>) => Promise<void>;

function commandLine(run: Run): Command {
  const output = standardOutput(false);
  const program = new Command('moa-compile')
    .description('Compiles a MoA plan into CUDA kernels and a typed runtime.')
    .version(version)
    .exitOverride()
    .configureOutput({ writeOut: (text) => output.print(text.trimEnd()), writeErr: (text) => output.say(text.trimEnd()) })
    .configureHelp({ showGlobalOptions: true })
    .enablePositionalOptions();

  withInputOptions(program.command('compile <plan>', { isDefault: true }))
    .description('compile a plan to a package (the default command); a file, a folder, or "-" for standard input')
    .option('--arch <list>', 'architectures: sm_80, 8.0, 80, sm_90a, 8.0+PTX, native, all-major; repeatable', collect)
    .option('-o, --output <dir>', 'the folder of the package; replaced whole when all is done', parseOutput)
    .option('--emit <kinds>', `what to write: ${emitKinds.join(', ')}`, parseEmit, [...emitKinds])
    .option('--no-rope', 'leave out the kernels that rotate (RoPE)')
    .addOption(cacheTypeOption())
    .option('--slack <tokens>', 'what rings keep beyond their spans, in whole pages: so many tokens can be taken back (Session.truncate)', parseIntegerFrom(0, 2 ** 20), 0)
    .option('--decode-tokens <n>', 'emit kernels that decode up to so many tokens of a sequence at once, 1 to 16', parseIntegerFrom(1, 16), 1)
    .option('--ablate <list>', 'for measurements, kernels without what is usual: unspecialised; of decode tensor-cores or cuda-cores', parseAblations)
    .option('--tp <ranks>', 'share the heads of each layer out among ranks, balanced; a package for each', parseCount)
    .option('--tp-lengths <list>', 'length bounds N at which ranks are balanced', parseLengths, [...balancedLengths])
    .option('--print-ir-after <pass>', 'print the IR after a pass, or after all', parsePass)
    .option('--stop-after <pass>', 'stop after a pass and print the IR', parseStopAfter)
    .option('--check', 'compare the folder with what would be written, but for machine code; exit 1 if it differs')
    .option('--dry-run', 'do everything but nvcc and the disk')
    .option('--force', 'replace a folder that moa-compile did not write')
    .option('--nvcc <path>', 'nvcc, or the root of a CUDA toolkit')
    .option('--no-cache', 'neither read nor write the kernel cache')
    .option('-j, --jobs <n>', 'compilers to run at once', parseCount)
    .option('--json', 'print the result as JSON')
    .option('-q, --quiet', 'errors only')
    .action((plan: string, options: CompileCommandOptions) =>
      run(async () => {
        // Loaded on demand: the code generator takes a while to start, and inspect does not need it.
        const { compileCommand } = await import('./compileCommand.ts');
        return compileCommand(plan, options, standardOutput(options.quiet === true));
      }),
    );

  withInputOptions(program.command('inspect <plan>'))
    .description('print what a plan keeps and costs: rules, head groups, GQA loss, densities, bytes')
    .option('--lengths <list>', 'length bounds N in tokens', parseLengths, [4096, 8192, 16384, 32768])
    .addOption(cacheTypeOption())
    .option('--slack <tokens>', 'count rings that keep so many tokens beyond their spans', parseIntegerFrom(0, 2 ** 20), 0)
    .option('--tp <ranks>', 'also how even ranks are that share the heads out: contiguous blocks, and balanced', parseCount)
    .option('--tp-lengths <list>', 'length bounds N at which ranks are balanced', parseLengths, [...balancedLengths])
    .option('--json', 'print as JSON')
    .option('-q, --quiet', 'no warnings and notes')
    .action((plan: string, options: InspectOptions) => run(() => inspectCommand(plan, options, standardOutput(options.quiet === true))));

  program
    .command('search [profile]')
    .description('find a plan: from a profile, or from a model and data')
    .option('-o, --output <plan.json>', 'the file of the plan', parseOutput)
    .option('--report <file.html>', 'a report that opens offline', parseOutput)
    .option('--density <list>', 'the most KV slots to keep, as a part of N: 0.5 for every length, 0.25@16k for one; repeatable', parseValuesAt(1))
    .option('--latency <list>', 'the most time of the kernels, as a part of that of dense heads, in the same form', parseValuesAt(1))
    .option('--latency-table <file.json>', 'times of the kernels, for --latency')
    .option('--extend <lengths>', 'longer lengths to bound, and to extrapolate losses to', parseLengths)
    .option('--weights <list>', 'how much the loss at a length counts: 1@4k,2@8k; 1 each by default', parseValuesAt(1e6))
    .addOption(new Option('--granularity <kind>', 'what has a rule of its own').choices(['kv-head', 'query-head']).default('kv-head'))
    .option('--rules-per-layer <n>', 'the most different rules in a layer, 1 to 3; 0 for any number', parseIntegerFrom(0, 3), 2)
    .option('--alpha-step <tokens>', 'step of the alphas of the grid; an eighth of the longest profiled length by default', parseCount)
    .option('--betas <n>', 'betas of the grid, evenly from 0 to 1 (9)', parseCount)
    .option('--sink <tokens>', 'the first tokens, always attended', parseIntegerFrom(0, 2 ** 20), 64)
    .option('--min-span <tokens>', 'the shortest span', parseIntegerFrom(64, 2 ** 20), 128)
    .option('--gap <fraction>', 'how close to the best, by proof, is close enough', parseFraction, 1e-4)
    .option('--no-exact', 'leave out the mixed-integer program that closes the gap')
    .option('--front', 'find the whole Pareto front of the losses at the lengths; --validate implies it')
    .option('--plans <n>', 'plans along the front to keep and to validate', parseIntegerFrom(1, 64), 8)
    .option('--model <folder>', 'a Hugging Face model; with it, the profile is made here')
    .option('--data <file.jsonl>', 'samples: docs/search-formats.md')
    .option('--lengths <list>', 'lengths to profile: 2k,4k,8k', parseLengths)
    .addOption(new Option('--target <what>', 'what influence is a change of; margin suits models that are nearly always right').choices(['cross-entropy', 'margin']).default('cross-entropy'))
    .option('--samples <n>', 'the most samples of a length', parseCount)
    .option('--validate <length>', 'choose among the plans by the loss at this length', parseLengthOption)
    .option('--validation-data <file.jsonl>', 'samples for that, at least as long; --data by default')
    .option('--work <folder>', 'where stages keep their results; <plan.json>.search by default')
    .option('--python <path>', 'a Python with torch and transformers')
    .addOption(new Option('--device <name>', 'what the model runs on').choices(['auto', 'cpu', 'cuda']))
    .addOption(new Option('--dtype <type>', 'element type of the model').choices(['auto', 'bfloat16', 'float16', 'float32']))
    .option('--query-block <rows>', 'queries at a time, a multiple of 64: less takes less memory', parseCount)
    .option('--restart', 'begin anew')
    .option('--json', 'print the result as JSON')
    .option('-q, --quiet', 'errors only')
    .action((profile: string | undefined, options: SearchOptions) =>
      run(async () => {
        const { searchCommand } = await import('./searchCommand.ts');
        return searchCommand(profile, options, standardOutput(options.quiet === true));
      }),
    );

  program
    .command('evaluate')
    .description('what a model still does under plans: retrieval, perplexity, agreement with itself when dense')
    .requiredOption('--model <folder>', 'a Hugging Face model: config.json, weights, tokenizer; nothing is downloaded')
    .requiredOption('--plan <file>', 'a plan of any format that is compiled; repeatable', collect)
    .option('--package <dir>', 'a package that was compiled from the plan in the same place: also through its kernels; repeatable', collect)
    .option('--against <list>', `baselines of as many KV slots: ${BASELINES.join(', ')}; none`, parseOneOf(BASELINES), [...BASELINES])
    .option('--lengths <list>', 'lengths to evaluate at', parseLengths, [1024, 2048, 4096])
    .option('--texts <path>', 'a text file, or a folder of .txt and .md files: perplexity and agreement on them, and prose for needles')
    .option('--kinds <list>', `questions: ${KINDS.join(', ')}; none`, parseOneOf(KINDS), [...KINDS])
    .option('--samples <n>', 'questions of a kind and length, and stretches of text', parseCount, 32)
    .option('--depths <n>', 'places of the answers in their contexts', parseCount, 8)
    .option('--seed <n>', 'other questions and texts', parseIntegerFrom(0, 2 ** 31 - 1), 0)
    .option('-o, --output <file.json>', 'all results: docs/evaluate-formats.md', parseOutput)
    .option('--python <path>', 'a Python with torch and transformers')
    .addOption(new Option('--device <name>', 'what the model runs on').choices(['auto', 'cpu', 'cuda']))
    .addOption(new Option('--dtype <type>', 'element type of the model').choices(['auto', 'bfloat16', 'float16', 'float32']))
    .option('--restart', 'begin anew')
    .option('--json', 'print the results as JSON')
    .option('-q, --quiet', 'no word on progress')
    .action((options: EvaluateOptions) =>
      run(async () => {
        const { evaluateCommand } = await import('./evaluateCommand.ts');
        return evaluateCommand(options, standardOutput(options.quiet === true));
      }),
    );

  withModelOptions(program.command('chat'))
    .description('a conversation with a model on a package, in the terminal')
    .option('--system <text>', 'the system prompt')
    .option('--length-bound <tokens>', "the most tokens of the conversation; the model's by default, at most 8192", parseLengthOption)
    .option('--new-tokens <n>', 'the most tokens of a reply', parseCount, 1024)
    .option('--temperature <t>', 'of sampling; 0 for the most likely token, generation_config.json by default', parseNumber)
    .option('--top-k <k>', 'sample among so many tokens', parseCount)
    .option('--seed <n>', 'of sampling', parseIntegerFrom(0, 2 ** 31 - 1))
    .action((options: ModelCommandOptions) => run(() => modelCommand('chat', options, standardOutput(options.quiet === true))));

  withModelOptions(program.command('measure'))
    .description('measure a model on a package beside the same model dense: speed, memory, energy')
    .option('--lengths <list>', 'tokens of a sequence, new ones included', parseLengths, [4096, 16384])
    .option('--batch <list>', 'sequences at once: 1,8', '1,8')
    .option('--new-tokens <n>', 'generated tokens of each sequence', parseIntegerFrom(2, 2 ** 20), 64)
    .option('--static', 'also dense with a static cache, which transformers compiles for minutes')
    .option('-o, --output <file.json>', 'write all figures', parseOutput)
    .action((options: ModelCommandOptions) => run(() => modelCommand('measure', options, standardOutput(options.quiet === true))));

  program
    .command('calibrate')
    .description("make samples for a search: questions about long texts, with the model's own answers")
    .requiredOption('-o, --output <data.jsonl>', 'the file of the samples, for search --data', parseOutput)
    .requiredOption('--model <folder>', 'a Hugging Face model')
    .requiredOption('--lengths <list>', 'lengths of the samples: 1k,2k,4k', parseLengths)
    .addOption(new Option('--questions <file.jsonl>', 'questions of your own: docs/calibrate.md').conflicts(['texts', 'kinds', 'seed']))
    .option('--texts <path>', 'prose to hide facts in: a text file, or a folder of .txt and .md files; our own filler by default')
    .option('--kinds <list>', 'of generated questions: lines, pairs, needles, facts; all by default')
    .option('--samples <n>', 'samples of a length (16)', parseCount)
    .option('--answer-tokens <n>', 'the most tokens of an answer (64)', parseCount)
    .option('--seed <n>', 'generated questions are a function of it (0)', parseIntegerFrom(0, Number.MAX_SAFE_INTEGER))
    .addOption(new Option('--keep-right', 'keep only what the model answers right, and ask further questions').conflicts('keepAll'))
    .option('--keep-all', 'go on though the model answers nothing right')
    .addOption(new Option('--prompt <format>', 'the chat template of the tokenizer, or plain text; auto: the template where there is one').choices(['auto', 'chat', 'plain']))
    .option('--batch <n>', 'prompts to answer at once: less takes less memory', parseCount)
    .option('--python <path>', 'a Python with torch and transformers')
    .addOption(new Option('--device <name>', 'what the model runs on').choices(['auto', 'cpu', 'cuda']))
    .addOption(new Option('--dtype <type>', 'element type of the model').choices(['auto', 'bfloat16', 'float16', 'float32']))
    .option('--restart', 'begin anew')
    .option('-q, --quiet', 'errors only')
    .action((options: CalibrateOptions) => run(() => calibrateCommand(options, standardOutput(options.quiet === true))));

  program
    .command('check-plan <plan>')
    .description('check a plan of the search against its certificate, and the profile it was made from')
    .option('--profile <file>', 'the influence profile; without it losses and bounds are not checked')
    .option('--model <config.json>', "the model's Hugging Face config, or its folder, which the plan has to fit")
    .option('--json', 'print as JSON')
    .option('-q, --quiet', 'print nothing unless a check failed')
    .action((plan: string, options: CheckPlanOptions) => run(() => checkPlanCommand(plan, options, standardOutput(options.quiet === true))));

  program
    .command('verify <dir>')
    .description('check that a package on disk is whole: hashes, machine code, definitions, ranks; needs no plan and no nvcc')
    .option('--json', 'print as JSON')
    .option('-q, --quiet', 'print nothing unless something is wrong')
    .action((folder: string, options: VerifyOptions) => run(() => verifyCommand(folder, options, standardOutput(options.quiet === true))));

  program
    .command('schema')
    .description("print the JSON Schema of this compiler's own plan format, or of the definition.json of packages")
    .addArgument(new Argument('[of]').choices(Object.keys(schemas)).default('plan'))
    .action((of: keyof typeof schemas) =>
      run(async () => standardOutput(false).print(stableJson(schemas[of]()).trimEnd())),
    );

  program
    .command('cache')
    .description('the kernel cache: ls, clear')
    .addArgument(new Argument('<action>').choices(['ls', 'clear']))
    .action((action: string) =>
      run(async () => {
        const folder = cacheFolder(environmentVariables());
        const report = action === 'ls' ? listCache(folder) : clearCache(folder);
        for (const item of report.items) standardOutput(false).print(`${item.key}  ${formatBytes(item.bytes)}`);
        standardOutput(false).print(`${action === 'ls' ? '' : 'removed '}${report.items.length} entries, ${formatBytes(report.bytes)} in ${folder}`);
      }),
    );
  return program;
}

/** What `moa-compile schema` prints. */
const schemas = { plan: planJsonSchema, definition: definitionJsonSchema } as const;

const cacheTypeOption = (): Option =>
  new Option('--kv-cache-dtype <type>', 'what keys and values are stored as: auto (the element type) or e4m3 (with a scale for each head)')
    .argParser(parseCacheType)
    .default('element', 'auto');

/** Options of commands that run a model on a package, in Python. */
function withModelOptions(command: Command): Command {
  return command
    .requiredOption('--model <folder>', 'a Hugging Face model: config.json, weights, tokenizer; nothing is downloaded')
    .requiredOption('--package <dir>', "a package, compiled with the model's config")
    .option('--python <path>', 'a Python with torch and transformers')
    .addOption(new Option('--device <name>', 'what the model runs on; kernels are emulated on cpu, slowly').choices(['auto', 'cpu', 'cuda']))
    .addOption(new Option('--dtype <type>', 'element type of the model').choices(['auto', 'bfloat16', 'float16']))
    .option('-q, --quiet', 'no word on progress');
}

function withInputOptions(command: Command): Command {
  return command
    .addOption(new Option('--input-format <format>', 'the format of the input; auto finds out, or says that it is not certain').choices(inputFormats).default('auto'))
    .option('--sparsity <fraction>', 'of duo-attention: the part of the KV heads that stream', parseFraction)
    .option('--sink <tokens>', 'of duo-attention and streaming-llm: the first tokens, always attended', parseIntegerFrom(SINK_RANGE.min, SINK_RANGE.max))
    .option('--recent <tokens>', 'of duo-attention and streaming-llm: the newest tokens', parseIntegerFrom(WINDOW_RANGE.min, WINDOW_RANGE.max))
    .option('--round-windows', 'of hf-config: take windows that are not whole pages of 64 tokens as longer ones')
    .option('--model <config.json>', "the model's Hugging Face config, or the folder that holds it; a config.json beside the plan by default")
    .option('--no-model', 'do not look for a config.json beside the plan')
    .option(ASSUME_PLAIN_FLAG, 'take a model type and keys of a config that are not known as those of plain softmax attention')
    .option('--layers <n>', 'layers of the model', parseCount)
    .option('--query-heads <n>', 'query heads of a layer', parseCount)
    .option('--kv-heads <n>', 'KV heads of a layer', parseCount)
    .option('--head-dim <n>', 'elements of a head', parseCount)
    .option('--dtype <list>', 'element types of the kernels: bf16, fp16', parseElementTypes)
    .option('--softcap <number>', 'scores s become c tanh(s / c); 0 for none', parseNumber)
    .option('--learned-sinks', 'each query head has a logit of its own in the denominator of its softmax')
    .option('--no-learned-sinks', 'it has none')
    .option('--strict', 'every warning is an error');
}
