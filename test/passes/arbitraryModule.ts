/** Random modules and contexts for property tests of passes. */
import fc from 'fast-check';
import { architectures } from '../../src/arch/registry.ts';
import { usualAttention } from '../../src/ir/attention.ts';
import type { CacheType, ElementType, HeadLayer, HeadModule, HeadNode } from '../../src/ir/nodes.ts';
import type { Rule, SpanLimits } from '../../src/ir/rule.ts';
import { sinkWindow } from '../../src/mask/sinkWindow.ts';
import type { Ablation, PassContext } from '../../src/passes/pass.ts';
import { parseRule } from '../ir/readHeadModule.ts';

/** Rules that plans have, and rules at the edges of what is legal. */
export const arbitraryRule: fc.Arbitrary<Rule> = fc.oneof(
  fc.constantFrom('N', '1/8*N', '1/2*N', '-1024 + N', '128', '64', '-3', '192', '3072 + 3/8*N', '4096 + N').map(parseRule),
  fc.record({ alpha: fc.integer({ min: -5000, max: 5000 }), numerator: fc.nat(16), denominator: fc.integer({ min: 1, max: 16 }) }).map(lowestTerms),
  // Not shrunk: numerator and denominator of a slope close to 1 would shrink in turns, a billion times.
  fc.noShrink(fc.record({ alpha: fc.integer({ min: -(2 ** 24), max: 2 ** 24 }), numerator: fc.nat(2 ** 30), denominator: fc.integer({ min: 1, max: 2 ** 30 }) })).map(lowestTerms),
);

export const arbitraryLimits: fc.Arbitrary<SpanLimits> = fc.constantFrom(
  { sink: 64, minSpan: 128, page: 64 },
  { sink: 0, minSpan: 64, page: 64 },
  { sink: 32, minSpan: 128, page: 64 },
  { sink: 1, minSpan: 64, page: 64 },
  { sink: 100, minSpan: 192, page: 64 },
  { sink: 128, minSpan: 256, page: 64 },
);

/** Some heads share a rule object, some have an equal one, most have another. */
export const arbitraryModule: fc.Arbitrary<HeadModule> = fc
  .record({
    layers: fc.integer({ min: 1, max: 4 }),
    kvHeads: fc.integer({ min: 1, max: 5 }),
    groupSize: fc.constantFrom(1, 2, 3, 4, 8, 16),
    headDim: fc.constantFrom(64, 128),
    limits: arbitraryLimits,
    scores: fc.record({ softCap: fc.constantFrom(0, 0, 50, 0.125), learnedSinks: fc.boolean() }),
    pool: fc.array(arbitraryRule, { minLength: 1, maxLength: 6 }),
    // In layers' turns: the model's own windows.
    windows: fc.array(fc.constantFrom(null, null, 64, 128, 192, 4096), { minLength: 1, maxLength: 3 }),
  })
  .chain(({ layers, kvHeads, groupSize, headDim, limits, scores, pool, windows }) => {
    const queryHeads = kvHeads * groupSize;
    const head = fc.tuple(fc.constantFrom(...pool), fc.boolean());
    return fc.array(fc.array(head, { minLength: queryHeads, maxLength: queryHeads }), { minLength: layers, maxLength: layers }).map((rows): HeadModule => ({
      kind: 'headModule',
      shape: { layers, queryHeads, kvHeads, headDim },
      attention: { ...usualAttention({ headDim }), ...scores },
      limits,
      layers: rows.map((row, layer): HeadLayer => ({
        kind: 'headLayer',
        modelWindow: windows[layer % windows.length]!,
        heads: row.map(([rule, copied], index): HeadNode => ({ kind: 'head', rule: copied ? { ...rule } : rule, origin: { path: `alphas[${layer}][${index}]` } })),
      })),
    }));
  });

export const arbitraryContext: fc.Arbitrary<PassContext> = fc
  .record({
    architectures: fc.subarray([...architectures], { minLength: 1 }),
    elementTypes: fc.subarray<ElementType>(['bf16', 'fp16'], { minLength: 1 }),
    rope: fc.boolean(),
    cacheType: fc.constantFrom<CacheType>('element', 'element', 'e4m3'),
    slack: fc.constantFrom(0, 0, 64, 128),
    decodeTokens: fc.constantFrom(1, 1, 4, 16),
    ablations: fc.constantFrom<readonly Ablation[]>([], [], ['unspecialised'], ['tensor-cores'], ['cuda-cores'], ['unspecialised', 'cuda-cores']),
  })
  .map((options) => ({ ...options, mask: sinkWindow }));

/** Length bounds: small ones, around pages, and large ones. */
export const arbitraryBound: fc.Arbitrary<number> = fc.oneof(
  fc.integer({ min: 1, max: 700 }),
  fc.integer({ min: 1, max: 200 }).map((pages) => pages * 64 - 1),
  fc.integer({ min: 1, max: 2 ** 20 }),
);

/** Freezes `value` and all it holds, so that a pass that writes to its input throws. */
export function deepFreeze<Value>(value: Value): Value {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(deepFreeze);
  }
  return value;
}

/** Beta as a fraction from 0 to 1 in lowest terms, of any two integers. */
function lowestTerms({ alpha, numerator, denominator }: { alpha: number; numerator: number; denominator: number }): Rule {
  const [low, high] = numerator <= denominator ? [numerator, denominator] : [denominator, numerator];
  const divisor = gcd(low, high);
  return { kind: 'rule', alpha, numerator: low / divisor, denominator: high / divisor };
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}
