/** The bytes that the runtime packs, read back by C++ through the struct that is printed into kernels. */
import { beforeAll, describe, expect, test } from 'vitest';
import { kernelContext, plannerContext } from '../../src/emit/kernelContext.ts';
import { renderKernel, renderPlanner } from '../../src/emit/templateEngine.ts';
import { fieldLayout, type FieldType, type ParamStruct } from '../../src/ir/kernelParams.ts';
import type { ScheduledModule } from '../../src/ir/nodes.ts';
import { paramStruct, type ParamsOf } from '../../src/kernels/paramStruct.ts';
import { plannerEntries } from '../../src/kernels/planners.ts';
import { variantNames, variantOf } from '../../src/kernels/variants.ts';
import { pipeline } from '../../src/passes/pipeline.ts';
import { runPasses } from '../../src/passes/runPasses.ts';
import { packParams, type ParamValue } from '../../src/runtime/packParams.ts';
import { runCxx } from '../cxx.ts';
import { readCase } from '../passes/readCase.ts';

/** Every variant, `prefill_hopper`, with the fields that learned sinks add. */
const variants = new Map(variantNames.map((name): [string, ParamsOf] => [`${name.role}_${name.variant}`, { ...name, learnedSinks: variantOf(name).features.attends }]));
const planners = new Map(plannerEntries.map(([role, planner]) => [role as string, planner]));
const names = [...variants.keys(), ...planners.keys()];
const structOf = (name: string): ParamStruct => planners.get(name)?.params ?? paramStruct(variants.get(name)!);

const { module, context } = readCase(
  [
    'target architectures=sm_80,sm_90a elementTypes=bf16 cacheType=e4m3',
    'shape layers=1 queryHeads=1 kvHeads=1 headDim=64',
    'attention softCap=0 learnedSinks=true scale=0.125',
    'layer 0: N',
  ].join('\n'),
);
const scheduled = runPasses(module, pipeline, context) as ScheduledModule;

function sourceOf(name: string): string {
  const planner = plannerEntries.find(([role]) => role === name);
  if (planner !== undefined) return renderPlanner(planner[0], plannerContext(planner[1], scheduled, context.mask));
  const kernel = scheduled.kernels.find(({ role, variant }) => `${role}_${variant}` === name)!;
  return renderKernel(kernel, kernelContext(kernel, context.mask));
}

/** `struct Params` of an emitted kernel, with its assertions. */
const printedParams = (name: string): string =>
  /struct Params \{[\s\S]*?\nstatic_assert\(sizeof\(Params\).*\n/.exec(sourceOf(name))![0];

/** The structs that fields point to. */
const allFields = names.flatMap((name) => structOf(name).fields);
const pointedTo = [...new Set(allFields.flatMap(({ cType }) => /moa::(\w+)\*/.exec(cType)?.[1] ?? []))];

/** Reads a struct of each variant and prints its fields, the bits of each as hexadecimal. */
const program = `
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
namespace moa {
struct alignas(64) TensorMap { unsigned char bytes[128]; };
${pointedTo.map((name) => `struct ${name};`).join('\n')}
}
${names.map((name) => `namespace ${name} {\n${printedParams(name)}}`).join('\n')}

template <class Value> void show(const char* name, const Value& value) {
    uint64_t words[sizeof(value) / 8 + 1] = {};
    memcpy(words, &value, sizeof(value));
    printf("%s=", name);
    for (size_t n = 0; n < (sizeof(value) + 7) / 8; ++n) printf("%s%llx", n == 0 ? "" : " ", static_cast<unsigned long long>(words[n]));
    printf("\\n");
}

int main() {
${names.map((name) => `    { ${name}::Params p; if (fread(&p, sizeof(p), 1, stdin) != 1) return 1;\n${structOf(name).fields.map((field) => `      show("${name}.${field.name}", p.${field.name});`).join('\n')} }`).join('\n')}
    return getchar() == EOF ? 0 : 2;
}
`;

/** Another value for every field, with bits in all bytes. */
function valuesOf(variant: string): Record<string, ParamValue> {
  return Object.fromEntries(
    structOf(variant).fields.map(({ name, type }, index) => {
      if (type === 'pointer') return [name, 0xfedc_ba98_7654_3200n + BigInt(index)];
      if (type === 'tensorMap') return [name, Uint8Array.from({ length: 128 }, (_, n) => 1 + ((n * 7 + index) % 255))];
      return [name, type === 'int32' ? -1 - index * 0x0102_0304 : 1 / Math.sqrt(128) + index];
    }),
  );
}

function bitsOf(type: FieldType, value: ParamValue): string {
  if (typeof value === 'bigint') return value.toString(16);
  if (typeof value === 'object') return Array.from(new BigUint64Array(value.buffer), (word) => word.toString(16)).join(' ');
  const word = type === 'float32' ? new Uint32Array(Float32Array.of(value).buffer)[0]! : value >>> 0;
  return word.toString(16);
}

describe('packParams', () => {
  let shown: readonly string[] = [];

  beforeAll(() => {
    shown = runCxx(program, Buffer.concat(names.map((name) => packParams(structOf(name), valuesOf(name))))).toString().trimEnd().split('\n');
  });

  test.each(names)('%s: C++ reads what was packed', (variant) => {
    const values = valuesOf(variant);
    expect(shown.filter((line) => line.startsWith(`${variant}.`))).toEqual(structOf(variant).fields.map(({ name, type }) => `${variant}.${name}=${bitsOf(type, values[name]!)}`));
  });

  test.each(names)('%s: fields do not overlap, and the struct is whole words', (variant) => {
    const { fields, bytes } = structOf(variant);
    let next = 0;
    for (const { offset, type } of fields) {
      expect(offset).toBeGreaterThanOrEqual(next);
      expect(offset % fieldLayout(type).alignment).toBe(0);
      next = offset + fieldLayout(type).size;
    }
    expect(bytes).toBeGreaterThanOrEqual(next);
    expect(bytes % 8).toBe(0);
    expect(new Set(fields.map(({ name }) => name)).size).toBe(fields.length);
  });

  test('a field that is not given is an internal error', () => {
    expect(() => packParams(structOf('prefill_portable'), { q: 1n })).toThrow('internal error: parameter k is given');
    const { sinkLogits: _, ...others } = valuesOf('decode_portable');
    expect(() => packParams(structOf('decode_portable'), others)).toThrow('internal error: parameter sinkLogits is given');
  });

  test('null is 0', () => {
    const struct = paramStruct({ role: 'decode', variant: 'portable' });
    const bytes = packParams(struct, Object.fromEntries(struct.fields.map(({ name, type }) => [name, type === 'pointer' ? 0n : 0])));
    expect(bytes.every((byte) => byte === 0)).toBe(true);
  });
});
