/**
 * Reads a `HeadModule` from compact text, the input of fixtures:
 *
 *     shape layers=2 queryHeads=4 kvHeads=2 headDim=64
 *     attention softCap=50 learnedSinks=true scale=0.1
 *     limits sink=64 minSpan=128 page=64
 *     layer 0: 1/4*N | -1024 + N | 256 | N
 *     layer 1, model window 128: 4 x N
 *
 * `attention` and `limits` may be left out (what is usual, the defaults of a plan), and `model window` where a layer has none of the model's own. `layer 2..5:` says the same of several layers, `4 x RULE` of several heads. Rules are
 * written as `printRule` writes them. As after `plan/buildModule`, equal rules are one object.
 */
import { usualAttention } from '../../src/ir/attention.ts';
import type { AttentionFacts, HeadLayer, HeadModule, HeadNode, ModelShape } from '../../src/ir/nodes.ts';
import type { Rule, SpanLimits } from '../../src/ir/rule.ts';
import { DEFAULT_LIMITS } from '../../src/plan/planSchema.ts';

export function readHeadModule(text: string): HeadModule {
  let shape: ModelShape | undefined;
  let limits: SpanLimits = DEFAULT_LIMITS;
  let attention: AttentionFacts | undefined;
  const rows = new Map<number, readonly Rule[]>();
  const windows = new Map<number, number | null>();
  const known = new Map<string, Rule>();
  const intern = (word: string): Rule => {
    const rule = known.get(word) ?? parseRule(word);
    known.set(word, rule);
    return rule;
  };
  for (const line of text.split('\n').map((part) => part.trim())) {
    if (line === '') continue;
    const layer = /^layer (\d+)(?:\.\.(\d+))?(?:, model window (\d+))?: (.+)$/.exec(line);
    if (layer !== null) {
      const rules = layer[4]!.split('|').flatMap((part) => readHeads(part.trim(), intern));
      for (let index = Number(layer[1]); index <= Number(layer[2] ?? layer[1]); index += 1) {
        rows.set(index, rules);
        windows.set(index, layer[3] === undefined ? null : Number(layer[3]));
      }
    } else if (line.startsWith('shape ')) {
      shape = readFields(line, ['layers', 'queryHeads', 'kvHeads', 'headDim']);
    } else if (line.startsWith('attention ')) {
      const { softCap, learnedSinks, scale } = readWords(line, ['softCap', 'learnedSinks', 'scale']);
      attention = { softCap: Number(softCap), learnedSinks: learnedSinks === 'true', scale: Number(scale) };
    } else if (line.startsWith('limits ')) {
      limits = readFields(line, ['sink', 'minSpan', 'page']);
    } else {
      throw new Error(`not a line of a HeadModule: ${line}`);
    }
  }
  if (shape === undefined) throw new Error('a HeadModule has a line `shape ...`');
  const layers = Array.from({ length: shape.layers }, (_, index): HeadLayer => {
    const rules = rows.get(index);
    if (rules?.length !== shape.queryHeads) throw new Error(`layer ${index} has ${rules?.length ?? 'no'} rules for ${shape.queryHeads} query heads`);
    return { kind: 'headLayer', modelWindow: windows.get(index)!, heads: rules.map((rule, head): HeadNode => ({ kind: 'head', rule, origin: { path: `alphas[${index}][${head}]` } })) };
  });
  if (rows.size !== shape.layers) throw new Error(`${rows.size} layers are given, the shape has ${shape.layers}`);
  return { kind: 'headModule', shape, attention: attention ?? usualAttention(shape), limits, layers };
}

/** The inverse of `printRule`. */
export function parseRule(text: string): Rule {
  const constant = /^-?\d+$/.exec(text);
  if (constant !== null) return { kind: 'rule', alpha: Number(text), numerator: 0, denominator: 1 };
  const sloped = /^(?:(-?\d+) \+ )?(?:(\d+)(?:\/(\d+))?\*)?N$/.exec(text);
  if (sloped === null) throw new Error(`not a rule: ${text}`);
  const [, alpha = '0', numerator = '1', denominator = '1'] = sloped;
  return { kind: 'rule', alpha: Number(alpha), numerator: Number(numerator), denominator: Number(denominator) };
}

function readHeads(part: string, intern: (word: string) => Rule): Rule[] {
  const repeated = /^(\d+) x (.+)$/.exec(part);
  return repeated === null ? [intern(part)] : Array.from({ length: Number(repeated[1]) }, () => intern(repeated[2]!));
}

function readFields<Key extends string>(line: string, keys: readonly Key[]): Record<Key, number> {
  return Object.fromEntries(Object.entries(readWords(line, keys)).map(([key, value]) => [key, Number(value)])) as Record<Key, number>;
}

function readWords<Key extends string>(line: string, keys: readonly Key[]): Record<Key, string> {
  const pairs = line.split(/\s+/).slice(1).map((field) => field.split('='));
  if (pairs.length !== keys.length || pairs.some(([key], index) => key !== keys[index])) throw new Error(`expected ${keys.join(', ')}: ${line}`);
  return Object.fromEntries(pairs) as Record<Key, string>;
}
