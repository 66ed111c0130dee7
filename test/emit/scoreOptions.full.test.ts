/**
 * An option of scores that a plan does not ask for costs nothing: sources and parameters do not know it, and where nvcc is found, kernels are instruction for
 * instruction what they are without the code of the options.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import type { CacheType } from '../../src/ir/nodes.ts';
import { paramStruct } from '../../src/kernels/paramStruct.ts';
import { variantNames, variantOf } from '../../src/kernels/variants.ts';
import { findNvcc } from '../../src/toolchain/findNvcc.ts';
import type { Ablation } from '../../src/passes/pass.ts';
import type { ModelFlags } from '../../src/plan/resolveModelShape.ts';
import { compileText, planText, targetsOf } from '../compile/support.ts';
import { scratchFolder } from '../toolchain/helpers.ts';

const { architectures } = targetsOf('sm_80', 'sm_90a');

interface Variant {
  readonly headDim?: 64 | 128;
  readonly cacheType?: CacheType;
  readonly ablations?: readonly Ablation[];
}

const variants: readonly Variant[] = [{}, { cacheType: 'e4m3' }, { ablations: ['cuda-cores'] }, { ablations: ['unspecialised'] }];

const compiledWith = (model: ModelFlags, { headDim = 64, ...options }: Variant = {}) =>
  compileText(planText({ layers: 2, queryHeads: 4, kvHeads: 2, headDim, mixed: true }), { architectures, elementTypes: ['bf16'], model, ...options });

function kernelsOf(model: ModelFlags, variant: Variant = {}): ReadonlyMap<string, string> {
  return new Map([...compiledWith(model, variant).sources].filter(([path]) => path.startsWith('kernels/moa_')));
}

/** The text of a kernel without what its options put there. */
const withoutOptions = (text: string): string =>
  text
    .replace(/_cap50(?=[_ {,.]|$)/gm, '')
    .replace(/_lsink(?=[_ {,.]|$)/gm, '')
    .replace(', soft cap 50', '')
    .replace(', learned sinks', '')
    .replace(/^ +static constexpr float kSoftCap = 50\.0f;.*\n/m, '')
    .replace(/^ +static constexpr bool kLearnedSinks = true;.*\n/m, '')
    .replace(/^ +const float\* sinkLogits;.*\n/m, '')
    .replace(/^static_assert\(offsetof\(Params, sinkLogits\).*\n/m, '')
    .replace(/^static_assert\(sizeof\(Params\).*\n/m, '');

const traces = /soft ?cap|kCaps|sinkLogits|learned|lsink/i;

describe.each(variants)('an option that is not asked for, %j', (variant) => {
  test('leaves no trace in kernels, in the IR, or in the definition', () => {
    for (const model of [{}, { softCap: 0, learnedSinks: false }]) {
      for (const [path, text] of kernelsOf(model, variant)) expect(`${path}\n${text}`).not.toMatch(traces);
      const compiled = compiledWith(model, variant);
      expect(compiled.ir).not.toMatch(traces);
      const { definition, files } = compiled.runtime({});
      expect(JSON.stringify([definition, ...files.values()])).not.toMatch(traces);
      expect(definition.attention).toBeUndefined();
    }
  });

  test('is all that one that is asked for adds', () => {
    const usual = [...kernelsOf({}, variant)].map(([, text]) => withoutOptions(text));
    for (const model of [{ softCap: 50 }, { learnedSinks: true }, { softCap: 50, learnedSinks: true }]) {
      const texts = [...kernelsOf(model, variant)].filter(([path]) => /moa_(prefill|decode)_/.test(path)).map(([, text]) => text);
      expect(texts.every((text) => text.includes('kSoftCap = 50.0f;') === ('softCap' in model) && text.includes('kLearnedSinks = true;') === ('learnedSinks' in model))).toBe(true);
      expect([...kernelsOf(model, variant)].map(([, text]) => withoutOptions(text)).toSorted()).toEqual(usual.toSorted());
    }
  });
});

test('parameters of an option come behind the others, and only with it', () => {
  for (const name of variantNames.filter((one) => variantOf(one).features.attends)) {
    const [without, withSinks] = [paramStruct(name), paramStruct({ ...name, learnedSinks: true })];
    expect(without.fields.map((field) => field.name)).not.toContain('sinkLogits');
    expect(withSinks.fields.map((field) => field.name)).toEqual([...without.fields.map((field) => field.name), 'sinkLogits']);
    expect(withSinks.fields.slice(0, -1)).toEqual(without.fields);
  }
});

test('caps that are no integers are spelt in names and as literals', () => {
  const [path, text] = [...kernelsOf({ softCap: 0.125 })].find(([name]) => name.includes('prefill'))!;
  expect(path).toMatch(/_cap0p125\.cu$/);
  expect(text).toContain('kSoftCap = 0.125f;');
});

const nvcc = await findNvcc({ variables: process.env }).catch(() => undefined);
const stub = readFileSync(fileURLToPath(new URL('fixtures/noScoreOptions.cuh', import.meta.url)), 'utf8');

describe.skipIf(nvcc === undefined)('through the real nvcc (skipped where there is none)', () => {
  /** The instructions of a kernel's PTX. */
  function ptxOf(sources: ReadonlyMap<string, string>, path: string): readonly string[] {
    const folder = scratchFolder();
    for (const [file, text] of sources) {
      if (!file.startsWith('include/') && file !== path) continue;
      mkdirSync(join(folder, dirname(file)), { recursive: true });
      writeFileSync(join(folder, file), text);
    }
    const architecture = /_bulk|_wgmma/.test(path) ? architectures[1]! : architectures[0]!;
    execFileSync(nvcc!.path, ['-ptx', `-arch=${architecture.name}`, '-std=c++20', '-O3', '-I', 'include', path, '-o', 'kernel.ptx'], { cwd: folder });
    return readFileSync(join(folder, 'kernel.ptx'), 'utf8').split('\n').filter((line) => line !== '' && !line.startsWith('//'));
  }

  test.each([
    ['prefill', /prefill.*m128/, {}],
    ['prefill on wgmma', /_wgmma/, {}],
    ['decode', /decode.*_s\d+_age\.cu/, {}],
    ['decode with bulk copies, E4M3', /_bulk_e4m3_age\.cu/, { cacheType: 'e4m3' }],
    ['decode on CUDA cores', /_s\d+_cores_age\.cu/, { ablations: ['cuda-cores'] }],
  ] as const)('%s is what it is without the code of the options', { timeout: 120_000 }, (_, name, variant) => {
    const { sources } = compiledWith({}, variant);
    const path = [...sources.keys()].find((file) => name.test(file))!;
    const ptx = ptxOf(sources, path);
    expect(ptx.length).toBeGreaterThan(1000);
    expect(ptxOf(new Map([...sources, ['include/moa/scoreOptions.cuh', stub]]), path)).toEqual(ptx);
  });
});
