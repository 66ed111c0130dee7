/**
 * Prefill of packages over N and in other scenarios: milliseconds a layer, and TFLOP/s on the pairs that the plan keeps and on those of the tiles that are computed.
 *
 *     node dist-bench/prefill/ours.js OUT.json [options] plan=variant:folder ...
 *
 *     --lengths 4096,16384      N of one sequence; 2048, 4096 ... 65536 by default
 *     --scenarios ragged        of scenarios.ts, beside these; chunked,ragged,mixed by default, or none
 *     --second-type-at 16384    N at which a package's other element type is measured too
 *     --device cuda:0           or emulator, to try the program
 *
 * bf16 where a package has it. A point that fails is a row that says why. OUT.json is complete after each row.
 */
import { parseArgs } from 'node:util';
import { Device, type Plan } from 'moa-compile/runtime';
import { numbers, parsePackage } from '../lib/arguments.ts';
import { disposeAll, tensors, type ElementType, type Tensors } from '../lib/buffers.ts';
import type { PlanFacts } from '../lib/implementations.ts';
import { openPackage } from '../lib/packages.ts';
import { writeJson } from '../lib/writeJson.ts';
import { measurePrefill } from './measurePrefill.ts';
import { isMeasured, type OursFile, type Row } from './results.ts';
import { moreScenarios, oneSequence, type Scenario } from './scenarios.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    lengths: { type: 'string', default: '2048,4096,8192,16384,32768,65536' },
    scenarios: { type: 'string', default: 'chunked,ragged,mixed' },
    'second-type-at': { type: 'string', default: '16384' },
    device: { type: 'string', default: 'cuda:0' },
  },
});
const [out, ...packages] = positionals;
if (out === undefined || packages.length === 0) throw new Error('usage: ours OUT.json [options] plan=variant:folder ...');

const device = await Device.open(values.device as 'cuda:0');
const scenarios = [
  ...numbers(values.lengths).map(oneSequence),
  ...moreScenarios.filter(({ scenario }) => values.scenarios.split(',').includes(scenario)),
];
const plans: Record<string, PlanFacts & { windows: Record<number, Readonly<Record<number, readonly number[]>>> }> = {};
const rows: Row[] = [];

function add(row: Row): void {
  rows.push(row);
  const point = `N=${String(row.tokens).padEnd(6)} ${row.held > 0 ? `behind ${row.held} ` : ''}`;
  const result = isMeasured(row)
    ? `${row.ms.toFixed(3).padStart(9)} ms, ${row.withAppendMs!.toFixed(3)} with append, ${row.activeTflops.toFixed(0)} TFLOP/s active, ${row.computedTflops!.toFixed(0)} computed`
    : row.error;
  console.log(`${row.plan.padEnd(14)} ${row.implementation.padEnd(20)} ${row.dtype} ${row.scenario.padEnd(7)} ${point}${result}`);
  writeJson(out!, { device: device.name, plans, scenarios, rows } satisfies OursFile);
}

function measureOne(plan: Plan, label: string, implementation: string, input: Tensors, scenario: Scenario, elementType: ElementType): void {
  const point = { plan: label, implementation, dtype: elementType, scenario: scenario.scenario, tokens: scenario.tokens, held: scenario.held };
  try {
    const { windows, ...times } = measurePrefill(device, plan, input, { scenario, elementType });
    plans[label]!.windows[scenario.bound] ??= windows;
    add({ ...point, ...times });
  } catch (error) {
    add({ ...point, error: String(error).split('\n')[0]! });
  }
}

for (const argument of packages) {
  const { plan: label, implementation, folder } = parsePackage(argument);
  const module = openPackage(folder);
  using plan = await module.load(device);
  const { shape, limits } = plan.definition;
  plans[label] ??= { layers: shape.layers, queryHeads: shape.queryHeads, kvHeads: shape.kvHeads, headDim: shape.headDim, sink: limits.sink, windows: {} };
  const [first, ...others] = [...plan.elementTypes].sort(); // bf16 before fp16
  const measureAll = (elementType: ElementType, chosen: readonly Scenario[]): void => {
    if (chosen.length === 0) return;
    const input = tensors(device, plan.definition, Math.max(...chosen.flatMap(({ tokens, held }) => [tokens, held])), elementType);
    for (const scenario of chosen) measureOne(plan, label, implementation, input, scenario, elementType);
    disposeAll(input);
  };
  measureAll(first!, scenarios);
  for (const other of others) measureAll(other, scenarios.filter(({ scenario, tokens }) => scenario === 'one' && tokens === Number(values['second-type-at'])));
}
device.dispose();
