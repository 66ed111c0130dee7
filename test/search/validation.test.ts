import { describe, expect, test } from 'vitest';
import { bestOf, readValidation, validationRequest, type Validation } from '../../src/search/validation.ts';
import { spanOf } from '../../src/ir/affine.ts';
import { rulesOf } from '../../src/search/planFile.ts';
import { DiagnosticList } from '../../src/util/diagnostics.ts';
import { found } from './outcome.ts';
import { said } from './support.ts';

test.each(['kv-head', 'query-head'] as const)('a request has the windows of every query head; by %s', async (granularity) => {
  const { instance, request, plans } = await found({ granularity });
  const dense = { ...plans[0]!, assignment: plans[0]!.assignment.map(() => instance.candidates.length - 1) };
  for (const length of [512, 1024, 4096]) {
    const asked = JSON.parse(validationRequest(instance, [plans[0]!, dense], length)) as { plans: { id: string; sink: number; windows: number[][] }[] };
    expect(asked).toMatchObject({ format: 'moa-validation-request', version: 1, length, plans: [{ id: '0', sink: 64 }, { id: '1', sink: 64 }] });
    asked.plans.forEach(({ windows }, at) => {
      expect(windows).toEqual(rulesOf(instance, [plans[0]!, dense][at]!).map((layer) => layer.map((rule) => spanOf(rule, request.limits, length, null) - 64)));
      expect(windows.flat().every((window) => window >= 64 && window <= length - 64)).toBe(true);
    });
  }
});

const answer = {
  format: 'moa-validation',
  version: 1,
  length: 1024,
  samples: 3,
  answerTokens: 30,
  dense: { loss: 0.5, accuracy: 1 },
  plans: [{ id: '0', loss: 0.75, accuracy: 0.5 }, { id: '1', loss: 0, accuracy: 0 }],
};

function read(value: unknown, count = 2): { validation: Validation | undefined; problems: string[] } {
  const diagnostics = new DiagnosticList();
  const validation = readValidation(Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)), 'answer.json', 1024, count, diagnostics);
  return { validation, problems: said(diagnostics) };
}

test('an answer is read', () => {
  const { format: _format, version: _version, ...facts } = answer;
  expect(read(answer)).toEqual({ validation: { ...facts, plans: [{ loss: 0.75, accuracy: 0.5 }, { loss: 0, accuracy: 0 }] }, problems: [] });
});

const text = JSON.stringify(answer);
const { plans: [first, second] } = answer;

describe('what is no answer, and is not taken for one', () => {
  const cases: readonly (readonly [name: string, value: unknown, ...says: string[]])[] = [
    ['no JSON', text.slice(1), 'MOA10'],
    ['a loss that Python writes as NaN', text.replace('0.75', 'NaN'), 'MOA10'],
    ['an infinite loss', text.replace('0.75', 'Infinity'), 'MOA10'],
    ['a list', [answer], 'MOA7308: expected an object, found an array'],
    ['another format', { ...answer, format: 'moa-plan' }, 'MOA7308: unknown format "moa-plan"'],
    ['another version', { ...answer, version: 2 }, 'MOA7308: unknown version 2'],
    ['another length', { ...answer, length: 2048 }, 'MOA7308: the answer is for 2048 tokens, not 1024'],
    ['fewer plans', { ...answer, plans: [first] }, 'MOA7308: 1 items; there have to be 2'],
    ['more plans', { ...answer, plans: [first, second, second] }, 'MOA7308: 3 items; there have to be 2'],
    ['plans in another order', { ...answer, plans: [second, first] }, 'MOA7308: "1" is none of "0"', 'MOA7308: "0" is none of "1"'],
    ['a plan without an id', { ...answer, plans: [first, { loss: 0, accuracy: 0 }] }, 'MOA7308: the key "id" is missing'],
    ['a negative loss', { ...answer, dense: { loss: -0.1, accuracy: 1 } }, 'MOA7308: -0.1 is not from 0'],
    ['an accuracy of more than 1', { ...answer, dense: { loss: 0, accuracy: 1.5 } }, 'MOA7308: 1.5 is not from 0 to 1'],
    ['a loss in words', { ...answer, plans: [first, { ...second, loss: 'low' }] }, 'MOA7308: expected a number, found "low"'],
    ['half a sample', { ...answer, samples: 0.5 }, 'MOA7308: expected an integer, found 0.5'],
    ['a key more', { ...answer, seconds: 5 }, 'MOA7308: unknown key "seconds"'],
    ['a key more in a plan', { ...answer, plans: [first, { ...second, windows: [] }] }, 'MOA7308: unknown key "windows"'],
    ...Object.keys(answer).map((key) => [`no ${key}`, Object.fromEntries(Object.entries(answer).filter(([name]) => name !== key)), key === 'format' || key === 'version' ? 'MOA7308: ' : `MOA7308: the key "${key}" is missing`] as const),
    ...['loss', 'accuracy'].map((key) => [`no ${key} of a plan`, { ...answer, plans: [Object.fromEntries(Object.entries(first!).filter(([name]) => name !== key)), second] }, `MOA7308: the key "${key}" is missing`] as const),
  ];
  test.each(cases.map(([name, value, ...says]) => ({ name, value, says })))('$name', ({ value, says }) => {
    const { validation, problems } = read(value);
    expect(validation).toBeUndefined();
    for (const part of says) expect(problems.some((problem) => problem.startsWith(part)), problems.join('\n')).toBe(true);
  });
});

test('the best plan has the lowest loss, the first of equals', () => {
  const of = (...losses: number[]): number => bestOf({ ...answer, plans: losses.map((loss) => ({ loss, accuracy: 0 })) });
  expect([of(1), of(2, 1, 3), of(1, 1), of(3, 2, 2), of(3, 2, 1)]).toEqual([0, 1, 0, 1, 2]);
});
