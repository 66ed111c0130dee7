import { inspectGpus, type ArchitectureFigures } from '../inspectGpus.ts';
import { inspectPlan, type PlanFigures } from '../inspect.ts';
import { inspectRanks, type RankBalance, type RankFigures } from '../inspectRanks.ts';
import { attentionWords } from '../ir/attention.ts';
import type { CacheType } from '../ir/nodes.ts';
import { ranges } from '../ir/print.ts';
import { assignRanks } from '../passes/assignRanks.ts';
import { rankProblem } from '../passes/assignRanks/rankProblem.ts';
import { leftOutText } from '../plan/config/attendingLayers.ts';
import { readPlan } from '../plan/readPlan.ts';
import { stableJson } from '../util/stableJson.ts';
import { DiagnosticError, DiagnosticList } from '../util/diagnostics.ts';
import { formatBytes, formatPercent, refuseWarnings, sayDiagnostics, table, type Output } from './output.ts';
import { modelFlags, readInputs, type InputOptions } from './readInputs.ts';

export interface InspectOptions extends InputOptions {
  readonly lengths: readonly number[];
  readonly kvCacheDtype: CacheType;
  readonly slack: number;
  /** Ranks that share the heads. */
  readonly tp?: number;
  readonly tpLengths: readonly number[];
  readonly json?: boolean;
  readonly quiet?: boolean;
}

/** `moa-compile inspect plan.json`: rules, head groups, what GQA costs, cache bytes and densities at given lengths; with `--tp` how even ranks are. */
export async function inspectCommand(planPath: string, options: InspectOptions, output: Output): Promise<void> {
  const diagnostics = new DiagnosticList();
  const { plan, config } = await readInputs(planPath, options, diagnostics);
  const read = plan && readPlan(plan, config, { ...modelFlags(options), rope: false }, diagnostics);
  const uneven = read && options.tp !== undefined ? rankProblem(read.module.shape, options.tp) : undefined;
  if (uneven !== undefined) diagnostics.add(uneven);
  if (read === undefined || uneven !== undefined) throw new DiagnosticError(diagnostics.toArray(), 2);
  refuseWarnings(diagnostics.toArray(), options.strict);
  sayDiagnostics(output, diagnostics.toArray(), options.quiet === true);
  const figures = inspectPlan(read.module, options.lengths, { cacheType: options.kvCacheDtype, slack: options.slack });
  const gpus = inspectGpus(read.module, { cacheType: options.kvCacheDtype, slack: options.slack });
  const assignment = options.tp === undefined ? undefined : assignRanks(read.module, options.tp, options.tpLengths);
  const ranks = assignment && inspectRanks(read.module, assignment, options.lengths, options.kvCacheDtype);
  const { leftOut } = read.model;
  if (options.json === true) output.print(stableJson({ ...figures, gpus, leftOut: leftOut && Object.fromEntries(leftOut), tensorParallel: ranks }).trimEnd());
  else output.print([textOf(figures, gpus), ...(leftOut === undefined ? [] : ['', `Layers of the model without attention, left out: ${leftOutText(leftOut)}.`]), ...(ranks === undefined ? [] : ['', ranksText(ranks)])].join('\n'));
}

function textOf(figures: PlanFigures, gpus: readonly ArchitectureFigures[]): string {
  const { shape, attention, limits, modelWindows, rules, groups, lengths } = figures;
  const scores = attention === undefined ? [] : attentionWords(attention, shape);
  const windowed = modelWindows.some((window) => window !== null);
  const ruleRows = [
    [
      'rule (tokens)',
      'query heads',
      'layers',
      ...(windowed ? ['model window', 'sink'] : []),
      ...lengths.map(({ length }) => `span at ${length}`),
    ],
    ...rules.map((use) => [
      use.rule,
      String(use.heads),
      String(use.layers),
      ...(windowed ? [use.modelWindow === null ? 'none' : String(use.modelWindow), String(use.sink)] : []),
      ...use.spans.map(String),
    ]),
  ];
  const lengthRows = [
    ['N', 'plan density', 'cache density', 'GQA loss', 'compute density', 'cache bytes', 'dense bytes', 'cache / dense'],
    ...lengths.map((at) => [
      String(at.length),
      formatPercent(at.planDensity),
      formatPercent(at.cacheDensity),
      formatPercent(at.cacheDensity - at.planDensity),
      formatPercent(at.computeDensity),
      formatBytes(at.cacheBytes),
      formatBytes(at.denseBytes),
      formatPercent(at.cacheBytes / at.denseBytes),
    ]),
  ];
  const groupRows = [
    ['layers', 'head groups', 'ring groups', 'rings with age mask'],
    ...runs(groups).map(({ layers, group }) => [
      ranges(layers),
      String(group.headGroups),
      String(group.ringGroups),
      String(group.ageMaskedRings),
    ]),
  ];
  return [
    `${shape.layers} layers, ${shape.queryHeads} query heads on ${shape.kvHeads} KV heads, headDim ${shape.headDim}${scores.map((word) => `, ${word}`).join('')}; sink ${limits.sink}, shortest span ${limits.minSpan}, page ${limits.page}`,
    ...(windowed ? windowLines(figures) : []),
    '',
    table(ruleRows),
    '',
    table(groupRows),
    '',
    `${figures.uniformRings} of ${figures.rings} KV heads have query heads of one rule; the others keep the longest and mask the rest by age.`,
    table([['--arch', 'shared memory of a block', 'runs on compute capability'], ...gpus.map(({ architecture, sharedBytes, serves }) => [architecture, formatBytes(sharedBytes), serves.join(', ')])]),
    '',
    'Plan density averages query heads, cache density KV heads; cache bytes are of one sequence, in whole pages.',
    '',
    table(lengthRows),
  ].join('\n');
}

/** Of a model whose layers have windows of their own: which, and how many heads they cut. */
function windowLines({ shape, modelWindows, lengths }: PlanFigures): string[] {
  const layersOf = new Map<number, number[]>();
  modelWindows.forEach((window, layer) => {
    if (window !== null) layersOf.set(window, [...(layersOf.get(window) ?? []), layer]);
  });
  const windows = [...layersOf].map(([window, layers]) => `${window} tokens in layer${layers.length === 1 ? '' : 's'} ${ranges(layers)}`);
  const cut = lengths.map(({ length, headsCutByModel }) => `${headsCutByModel} at ${length}`);
  return [
    `The model has windows of its own, and no sink there: ${windows.join('; ')}.`,
    `Of ${shape.layers * shape.queryHeads} query heads the model's own window is the smaller one for: ${cut.join(', ')}.`,
  ];
}

function ranksText({ ranks, balancedLengths, provenLayers, kvHeads, lengths }: RankFigures): string {
  const row = (length: number, heads: string, balance: RankBalance): string[] => [
    String(length),
    heads,
    ...[balance.worstLayer, balance.meanOfLayers, balance.allLayers, balance.prefillWorstLayer, balance.prefillMeanOfLayers].map((ratio) => ratio.toFixed(3)),
    formatBytes(Math.min(...balance.cacheBytes)),
    formatBytes(Math.max(...balance.cacheBytes)),
  ];
  return [
    `Tensor parallelism, ${ranks} ranks: heads in contiguous blocks, and as assigned for N = ${balancedLengths.join(', ')}. In ${provenLayers} of ${kvHeads.length} layers no assignment is more even.`,
    'Ratios are of the rank that has most and the mean: of KV pages, which decode reads, and of the pairs of prefill. All layers: the sum of the one by the sum of the other.',
    '',
    table([
      ['N', 'heads', 'worst layer', 'mean of layers', 'all layers', 'prefill, worst', 'prefill, mean', 'least cache', 'most cache'],
      ...lengths.flatMap(({ length, contiguous, assigned }) => [row(length, 'contiguous', contiguous), row(length, 'assigned', assigned)]),
    ]),
  ].join('\n');
}

/** Equal neighbours as one row. */
function runs(groups: PlanFigures['groups']): { layers: number[]; group: PlanFigures['groups'][number] }[] {
  const result: { layers: number[]; group: PlanFigures['groups'][number] }[] = [];
  for (const group of groups) {
    const before = result.at(-1);
    const { layer: _layer, ...facts } = group;
    const { layer: _other, ...known } = before?.group ?? { layer: -1 };
    if (before !== undefined && JSON.stringify(facts) === JSON.stringify(known)) before.layers.push(group.layer);
    else result.push({ layers: [group.layer], group });
  }
  return result;
}
