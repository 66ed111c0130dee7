/** Templates and the records they are filled from: no field is missing, none is left over, and templates compute nothing. */
import { readFileSync } from 'node:fs';
import Handlebars from 'handlebars';
import { describe, expect, test } from 'vitest';
import { kernelContext, plannerContext, type KernelContext } from '../../src/emit/kernelContext.ts';
import { renderKernel, renderPlanner } from '../../src/emit/templateEngine.ts';
import type { ScheduledModule } from '../../src/ir/nodes.ts';
import { plannerEntries } from '../../src/kernels/planners.ts';
import { variantNames, variantOf } from '../../src/kernels/variants.ts';
import { pipeline } from '../../src/passes/pipeline.ts';
import { runPasses } from '../../src/passes/runPasses.ts';
import { readCase } from '../passes/readCase.ts';
import { filesBelow, root } from './sources.ts';

const ofVariants = [...new Set(variantNames.map((name) => variantOf(name).template))];
const ofPlanners: readonly string[] = plannerEntries.map(([role]) => role);
const templates = [...ofVariants, ...ofPlanners];
const cases = ['element', 'e4m3'].map((cacheType) => readCase(`target architectures=sm_80,sm_90a elementTypes=bf16,fp16 rope=true cacheType=${cacheType}\nshape layers=2 queryHeads=2 kvHeads=1 headDim=64\nlayer 0: N | 256\nlayer 1: N | N`));
const { context } = cases[0]!;
const modules = cases.map((one) => runPasses(one.module, pipeline, one.context) as ScheduledModule);
const allKernels = modules.flatMap((module) => module.kernels);
const kernels = [...new Map(allKernels.map((kernel) => [kernel.name, kernel])).values()];

/** A kernel of a template: its record, and what is printed from that. */
interface Printed {
  readonly name: string;
  readonly record: Readonly<Record<string, unknown>>;
  readonly text: string;
}

function printedFrom(template: string): Printed[] {
  const planner = plannerEntries.find(([role]) => role === template);
  if (planner !== undefined) {
    const [role, facts] = planner;
    const record = plannerContext(facts, modules[0]!, context.mask);
    return [{ name: facts.name, record: { ...record }, text: renderPlanner(role, record) }];
  }
  return kernels.filter((kernel) => variantOf(kernel).template === template).map((kernel) => {
    const record = kernelContext(kernel, context.mask);
    return { name: kernel.name, record: { ...record }, text: renderKernel(kernel, record) };
  });
}

const printed = new Map(templates.map((template) => [template, printedFrom(template)]));
const recordsOf = (template: string): Printed['record'][] => printed.get(template)!.map(({ record }) => record);

/** The fields that a template and its partials name, `params.name` inside of `{{#each params}}`; and anything that is more than a name. */
interface Uses {
  readonly fields: Set<string>;
  readonly others: string[];
}

function usesOf(path: string, prefix = '', uses: Uses = { fields: new Set(), others: [] }): Uses {
  walk(Handlebars.parse(readFileSync(`${root}templates/${path}`, 'utf8')), prefix, uses);
  return uses;
}

function walk(program: hbs.AST.Program, prefix: string, uses: Uses): void {
  const name = (expression: hbs.AST.Node): string | undefined => (expression.type === 'PathExpression' ? prefix + (expression as hbs.AST.PathExpression).original : undefined);
  for (const statement of program.body) {
    switch (statement.type) {
      case 'ContentStatement':
      case 'CommentStatement':
        break;
      case 'MustacheStatement': {
        const { path, params } = statement as hbs.AST.MustacheStatement;
        const field = name(path);
        if (field === undefined || params.length > 0) uses.others.push(JSON.stringify(path));
        else uses.fields.add(field);
        break;
      }
      case 'PartialStatement': {
        const partial = (statement as hbs.AST.PartialStatement).name as hbs.AST.PathExpression;
        usesOf(`partials/${partial.original}.hbs`, prefix, uses);
        break;
      }
      case 'BlockStatement': {
        const { path, params, program: inner, inverse } = statement as hbs.AST.BlockStatement;
        const [helper, field] = [(path as hbs.AST.PathExpression).original, params[0] && name(params[0])];
        if (field === undefined || (helper !== 'each' && helper !== 'if')) uses.others.push(`#${helper}`);
        else uses.fields.add(field);
        walk(inner, helper === 'each' ? `${field}.` : prefix, uses);
        if (inverse) walk(inverse, prefix, uses);
        break;
      }
      default:
        uses.others.push(statement.type);
    }
  }
}

/** `name`; for a list that is not empty `params` and `params.name`, its items' fields; `shape.name` for those of a record. */
function fieldsOf(record: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(record).flatMap(([key, value]) => {
    const inner = (of: unknown): string[] => fieldsOf(of as Record<string, unknown>).map((name) => `${key}.${name}`);
    if (Array.isArray(value)) return [key, ...(value.length === 0 ? [] : inner(value[0]))];
    return typeof value === 'object' && value !== null ? inner(value) : [key];
  });
}

const used = new Map(templates.map((template) => [template, usesOf(`kernels/${template}.cu.hbs`)]));
const given = new Map(templates.map((template) => [template, new Set(fieldsOf(recordsOf(template)[0]!))]));

describe.each(templates)('the template %s', (template) => {
  test('names fields that its record has', () => {
    expect([...used.get(template)!.fields].filter((field) => !given.get(template)!.has(field))).toEqual([]);
  });

  test('only names, lists and conditions', () => {
    expect(used.get(template)!.others).toEqual([]);
  });

  test('uses every field of its record that is not for all templates of its kind', () => {
    const alike = ofPlanners.includes(template) ? ofPlanners : ofVariants;
    const shared = (field: string): boolean => alike.every((other) => given.get(other)!.has(field));
    expect([...given.get(template)!].filter((field) => !shared(field) && !used.get(template)!.fields.has(field))).toEqual([]);
  });

  test.each(printed.get(template)!)('prints $name without a gap', ({ name, text }) => {
    expect(text).not.toMatch(/\{\{|\}\}|undefined|NaN|\[object/);
    expect(text).toContain(`MOA_KERNEL(${name}, `);
    expect(text.split('\n').filter((line) => /\s$/.test(line))).toEqual([]);
  });
});

test('a field that all templates have is used by one', () => {
  const all = new Set([...used.values()].flatMap(({ fields }) => [...fields]));
  expect([...new Set([...given.values()].flatMap((fields) => [...fields]))].filter((field) => !all.has(field))).toEqual([]);
});

test('records of one template have the same fields', () => {
  for (const template of templates) {
    const shapes = new Set(recordsOf(template).map((record) => fieldsOf(record).toSorted().join()));
    expect(shapes.size, template).toBe(1);
  }
});

test('every template belongs to a variant or a planner, and every variant has kernels here', () => {
  expect(filesBelow('templates/kernels', '.hbs').map(({ path }) => path.replace(/^.*\/|\.cu\.hbs$/g, '')).toSorted()).toEqual(templates.toSorted());
  expect(variantNames.filter(({ role, variant }) => !kernels.some((kernel) => kernel.role === role && kernel.variant === variant))).toEqual([]);
});

test('every partial is used', () => {
  const texts = [...filesBelow('templates/kernels', '.hbs'), ...filesBelow('templates/partials', '.hbs')].map(({ text }) => text).join('\n');
  expect(filesBelow('templates/partials', '.hbs').map(({ path }) => path.replace(/^.*\/|\.hbs$/g, '')).filter((partial) => !texts.includes(`{{> ${partial}}}`))).toEqual([]);
});

test('a field that a record lacks is an error, not an empty string', () => {
  const { ropeText: _, ...rest } = recordsOf('append')[0]!;
  expect(() => renderKernel({ role: 'append', variant: 'portable' }, rest as unknown as KernelContext)).toThrow('ropeText');
});
