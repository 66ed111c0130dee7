/** `npm start`: from a plan that the search found to checked numbers, on the GPU of this machine or on the emulator. */
import { readFileSync } from 'node:fs';
import { formatBytes, formatPercent, table } from '../cli/output.ts';
import type { PlanDefinition } from '../ir/planDefinition.ts';
import { Device, loadPackage, readDefinition, RuntimeError, type Plan } from '../runtime/index.ts';
import { compileExample, type CompiledExample } from './compileExample.ts';
import type { PlainPlan } from './reference.ts';
import { demo, runLayers, type Outcome } from './runLayers.ts';

interface LoadedPlan {
  readonly device: Device;
  readonly plan: Plan;
  /** Why it is not a GPU, if it is not. */
  readonly reason: string;
}

async function main(): Promise<void> {
  const started = performance.now();
  const example = await compileExample((command) => console.log(`$ ${command}`));
  console.log(`  compiled in ${example.seconds.toFixed(1)} s (${example.machineCode})`);

  const definition = readDefinition(new URL('definition.json', example.folder));
  const { layers, queryHeads, kvHeads, headDim } = definition.shape;
  console.log(`  ${layers} layers, ${queryHeads} query heads on ${kvHeads} KV heads, headDim ${headDim}, ${definition.kernels[0]!.elementType}`);

  const { device, plan, reason } = await loadAnywhere(example.folder);
  const where = device.kind === 'cuda' ? `GPU: ${device.name}, compute capability ${device.computeCapability.join('.')}` : `the emulator, on the CPU (${reason})`;
  console.log(`\nRunning on ${where}.`);
  const [first, second] = demo.prompts;
  console.log(`Prefill of ${first} and ${second} tokens, then ${demo.steps} decode steps from one captured graph, in each layer; N = ${demo.lengthBound}.\n`);

  const plainPlan = JSON.parse(readFileSync(example.planPath, 'utf8')) as PlainPlan;
  const outcome = runLayers(device, plan, plainPlan);
  console.log(report(definition, example, outcome));
  plan.dispose();
  device.dispose();

  const passed = Math.max(outcome.prefillError, outcome.decodeError) <= outcome.bound;
  console.log(passed ? `\nAll ${outcome.rowsChecked} rows agree with float64 attention. Took ${((performance.now() - started) / 1000).toFixed(1)} s.` : '\nFAILED: the error is above the bound.');
  if (!passed) process.exitCode = 1;
  else console.log(nextSteps);
}

/** On the GPU when there is one that the package has machine code for, else on the emulator. */
async function loadAnywhere(folder: URL): Promise<LoadedPlan> {
  let gpu: Device | undefined;
  let reason: string;
  try {
    gpu = await Device.open('cuda:0');
    return { device: gpu, plan: await loadPackage(gpu, folder), reason: '' };
  } catch (error) {
    const code = error instanceof RuntimeError ? error.code : '';
    if (code !== 'MOA6001' && code !== 'MOA6003' && code !== 'MOA6203') throw error;
    reason = gpu === undefined ? 'no GPU was found' : `the package has no machine code for ${gpu.name}`;
    gpu?.dispose();
  }
  const device = await Device.open('emulator');
  return { device, plan: await loadPackage(device, folder), reason };
}

function report(definition: PlanDefinition, { registers }: CompiledExample, outcome: Outcome): string {
  const { launches, memory, bound } = outcome;
  const kernels = definition.kernels
    .filter((kernel) => !kernel.rope)
    .map(({ name, role, sharedBytes, layers }) => {
      const launched = (launches[role] * layers.length) / definition.shape.layers;
      return [name, String(registers.get(name)?.registers ?? '-'), String(sharedBytes), String(launched)];
    });
  const { tilesVisited, tilesCausal, rings, ringsWrapped, longest } = outcome;
  const tiles = tilesVisited === undefined ? 'counted on the emulator only' : `${tilesVisited} of ${tilesCausal} under the causal mask (${formatPercent(tilesVisited / tilesCausal)})`;
  const facts: readonly (readonly [string, string])[] = [
    ['KV cache', `${formatBytes(memory.cache)}, dense ${formatBytes(memory.dense)} (${formatPercent(memory.cache / memory.dense)})`],
    ['rings', `${ringsWrapped} of ${rings} hold less than the ${longest} tokens of the longer sequence, and wrap`],
    ['tiles visited', tiles],
    ['error, prefill', errorText(outcome.prefillError)],
    ['error, decode', errorText(outcome.decodeError)],
    ['bound', `${bound.toExponential(2)}: two roundings to ${definition.kernels[0]!.elementType}, for values below 1`],
  ];
  return [table([['kernel', 'registers', 'shared bytes', 'launches'], ...kernels]), '', ...facts.map(([name, value]) => `${name.padEnd(16)}${value}`)].join('\n');
}

const errorText = (error: number): string => `${error.toExponential(2)}, the largest against float64`;

const nextSteps = `
Next:
  node bin/moa-compile.js inspect examples/retrieval-20m/plan.json      what the plan keeps and costs
  node bin/moa-compile.js check-plan examples/retrieval-20m/plan.json   whether it is what its certificate says
  less generated/start/kernels/*.cu                                     the kernels, written to be read
  npm test                                                              the proofs
  README.md                                                             larger models, on a GPU`;

try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? `start: ${error.message}` : error);
  process.exitCode = 1;
}
