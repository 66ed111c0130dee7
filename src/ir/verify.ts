/** What is legal at each level. Run after every pass: a violation is a bug of the pass, and is thrown as an internal error. */
import { assertNever, invariant } from '../util/invariant.ts';
import { evaluate, sinkOf } from './affine.ts';
import type { GroupModule, HeadModule, KernelModule, KernelRole, LaidOutLayer, LaidOutModule, ModelShape, Module, LayerFacts, PlanFacts, RingModule, ScheduledModule } from './nodes.ts';
import { layerNumbers } from './layerNumbers.ts';
import { ROTARY_DIM_STEP, type ModelRope } from './rope.ts';
import type { Rule } from './rule.ts';

/** Length bounds at which functions of N are probed. */
const probes = [1, 64, 1000, 4096, 16384, 131072];

export function verifyModule(module: Module): void {
  verifyFacts(module);
  switch (module.kind) {
    case 'headModule':
      return verifyHeads(module);
    case 'ringModule':
      return verifyRings(module);
    case 'groupModule':
      return verifyGroups(module);
    case 'laidOutModule':
      return verifyLayout(module);
    case 'kernelModule':
    case 'scheduledModule':
      verifyLayout(module);
      return verifyKernels(module);
    default:
      return assertNever(module);
  }
}

function verifyFacts({
  shape,
  attention,
  rope,
  limits,
  kind,
  layers,
}: PlanFacts & { kind: string; layers: readonly LayerFacts[] }): void {
  const { queryHeads, kvHeads, headDim } = shape;
  invariant(layers.length === shape.layers && layers.length > 0, `${kind} has ${shape.layers} layers`);
  const numbers = layerNumbers(shape);
  invariant(numbers.length === shape.layers && numbers.every((number, index) => number > (numbers[index - 1] ?? -1)), 'layer numbers rise');
  invariant(kvHeads > 0 && queryHeads % kvHeads === 0, 'query heads are a multiple of KV heads');
  invariant(headDim > 0 && headDim % 64 === 0, 'headDim is made of 64-column blocks');
  invariant(attention.softCap >= 0 && Number.isFinite(attention.softCap) && attention.scale > 0 && Number.isFinite(attention.scale), 'the cap and the scale are numbers to multiply by');
  if (rope !== null) verifyRope(rope, shape);
  invariant(limits.page === 64 && limits.minSpan % limits.page === 0 && limits.sink >= 0 && limits.sink < limits.minSpan, 'sink < minSpan, a multiple of the page');
  layers.forEach(({ modelWindow }) => {
    const whole = modelWindow === null || (Number.isSafeInteger(modelWindow) && modelWindow >= 1);
    invariant(whole, `a model's window ${modelWindow} is an integer of at least 1`);
  });
}

function verifyRope({ ropes, layers }: ModelRope, shape: ModelShape): void {
  invariant(layers.length === shape.layers, 'every layer has a rotation, or none');
  ropes.forEach(({ theta, rotaryDim }, index) => {
    invariant(theta > 0 && Number.isFinite(theta), 'theta is positive');
    invariant(rotaryDim > 0 && rotaryDim <= shape.headDim && rotaryDim % ROTARY_DIM_STEP === 0, 'whole chunks of a head turn');
    invariant(layers.includes(index), 'a rotation is used');
  });
  invariant(layers.every((index) => index === null || index in ropes), 'layers have rotations of the list');
}

function verifyRule(rule: Rule): void {
  const { alpha, numerator, denominator } = rule;
  invariant(Number.isSafeInteger(alpha) && Math.abs(alpha) <= 2 ** 24, `alpha ${alpha} is an integer of at most 2^24`);
  invariant(Number.isSafeInteger(numerator) && Number.isSafeInteger(denominator), 'beta is a fraction of integers');
  invariant(numerator >= 0 && numerator <= denominator && denominator >= 1 && denominator <= 2 ** 30, 'beta is between 0 and 1');
  invariant(greatestCommonDivisor(numerator, denominator) === 1, 'beta is in lowest terms');
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

function verifyHeads(module: HeadModule): void {
  for (const layer of module.layers) {
    invariant(layer.heads.length === module.shape.queryHeads, 'a layer has a rule for every query head');
    layer.heads.forEach((head) => verifyRule(head.rule));
  }
}

function verifyRings(module: RingModule): void {
  const { queryHeads, kvHeads } = module.shape;
  const groupSize = queryHeads / kvHeads;
  for (const layer of module.layers) {
    invariant(layer.heads.length === queryHeads && layer.rings.length === kvHeads, 'a layer has a ring for every KV head');
    layer.rings.forEach((ring, index) => {
      invariant(ring.kvHead === index, 'rings stand in the order of KV heads');
      invariant(ring.ageMask === (ring.rules.length > 1 || ring.slack > 0), 'rings of several rules, or with slack, mask by age');
      invariant(ring.slack >= 0 && ring.slack % module.limits.page === 0, 'slack is whole pages');
    });
    layer.heads.forEach((head, index) => invariant(layer.rings[Math.floor(index / groupSize)]!.rules.includes(head.rule), 'a ring lists the rules of its heads'));
  }
}

function verifyGroups(module: GroupModule): void {
  for (const layer of module.layers) {
    verifyPartition(layer.headGroups.flatMap((group) => group.heads), module.shape.queryHeads, 'query heads');
    verifyPartition(layer.ringGroups.flatMap((group) => group.kvHeads), module.shape.kvHeads, 'KV heads');
  }
}

function verifyLayout(module: LaidOutModule | KernelModule | ScheduledModule): void {
  const checked = new Set<LaidOutLayer>();
  for (const layer of module.layers) {
    if (checked.has(layer)) continue;
    checked.add(layer);
    verifyPartition(layer.headGroups.flatMap((group) => group.heads), module.shape.queryHeads, 'query heads');
    verifyPartition(layer.ringGroups.flatMap(({ group }) => group.kvHeads), module.shape.kvHeads, 'KV heads');
    for (const N of probes) {
      let next = 0;
      for (const { group, firstPage, pages, span } of layer.ringGroups) {
        invariant(evaluate(firstPage, { N }) === next, 'ring groups follow each other without gaps');
        const count = evaluate(pages, { N });
        const tokens = evaluate(span, { N });
        invariant(count * module.limits.page >= tokens, 'a ring holds its span');
        invariant(tokens % module.limits.page === 0, 'a span is whole pages');
        next += count * group.kvHeads.length;
      }
      invariant(evaluate(layer.pages, { N }) === next, "a layer's pages are those of its rings");
    }
  }
}

function verifyKernels(module: KernelModule | ScheduledModule): void {
  for (const kernel of module.kernels) {
    invariant(/^moa_[a-z0-9_]{1,100}$/.test(kernel.name), `${kernel.name} is an identifier of ours`);
    invariant(kernel.threads % 32 === 0 && kernel.threads <= 1024, 'a block is made of whole warps');
    invariant(kernel.groupSize === module.shape.queryHeads / module.shape.kvHeads, "a kernel has the model's group size");
    if ('softCap' in kernel) {
      const { softCap, learnedSinks } = module.attention;
      invariant(kernel.softCap === softCap && kernel.learnedSinks === learnedSinks, "a kernel makes the model's scores");
    }
    invariant(kernel.layers.length > 0 && kernel.architectures.length > 0, 'a kernel is used');
    for (const layer of kernel.layers) {
      const sink = sinkOf(module.limits, module.layers[layer]!.modelWindow);
      invariant(kernel.sink === sink, "a kernel has its layers' sink");
    }
  }
  if (module.kind === 'scheduledModule') {
    invariant(new Set(module.kernels.map((kernel) => kernel.name)).size === module.kernels.length, 'kernel names are unique');
    for (let layer = 0; layer < module.shape.layers; layer += 1) {
      const needed: readonly KernelRole[] = ['prefill', 'decode', 'append', ...(module.layout.cacheType === 'e4m3' ? (['expand'] as const) : [])];
      for (const role of needed) {
        invariant(module.kernels.some((kernel) => kernel.role === role && kernel.layers.includes(layer)), `layer ${layer} has a ${role} kernel`);
      }
    }
  }
}

function verifyPartition(parts: readonly number[], count: number, what: string): void {
  invariant(parts.length === count && new Set(parts).size === count && parts.every((part) => part >= 0 && part < count), `groups partition the ${what}`);
}
