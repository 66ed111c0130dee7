/** The report as a file: whole, self-contained, safe with any text, the same every time. */
import { parseHTML } from 'linkedom';
import { describe, expect, test } from 'vitest';
import { formatPercent, lossFormat } from '../../src/search/report/format.ts';
import { renderReport } from '../../src/search/report/renderReport.ts';
import type { SearchReport } from '../../src/search/report/searchReport.ts';
import { large, small, syntheticReport } from './syntheticReport.ts';

interface Element {
  readonly textContent: string;
  readonly tagName: string;
  readonly attributes: Iterable<{ readonly name: string; readonly value: string }>;
  getAttribute(name: string): string | null;
  querySelector(selector: string): Element | null;
  querySelectorAll(selector: string): Iterable<Element>;
}

const parse = (page: string): Element => (parseHTML(page) as unknown as { readonly document: Element }).document;
const all = (root: Element, selector: string): Element[] => [...root.querySelectorAll(selector)];
const textsOf = (root: Element, selector: string): string[] => all(root, selector).map((element) => element.textContent);
const sectionIds = ['summary', 'spans', 'lengths', 'front', 'influence', 'glossary'];

function lossless(report: SearchReport): SearchReport {
  const plans = report.plans.map((plan) => ({ ...plan, losses: plan.losses.map(() => 0), gap: 0 }));
  return { ...report, plans, plan: { ...report.plan, curve: report.plan.curve.map((at) => (at.loss === undefined ? at : { ...at, loss: 0 })) } };
}

const reports: readonly (readonly [name: string, report: SearchReport])[] = [
  ['seven plans with validation', syntheticReport()],
  ['one plan, no validation', syntheticReport({ ...small, plans: 1, validated: false, extrapolated: [] })],
  ['two lengths, as many KV heads as query heads', syntheticReport({ ...small, kvHeads: 14, extrapolated: [] })],
  ['one length, one KV head', syntheticReport({ ...small, kvHeads: 1, profiled: [2048], extrapolated: [] })],
  ['80 layers of 64 heads', syntheticReport(large)],
  ['one head, no loss at all', lossless(syntheticReport({ ...small, layers: 1, queryHeads: 1, kvHeads: 1, pages: 1 }))],
  ['neither curve, rules nor maps', { ...syntheticReport(), constraints: [], mostGlobal: [], mostLocal: [], seconds: [], plan: { ...syntheticReport().plan, rules: [], curve: [] } }],
];

describe.each(reports)('%s', (_name, report) => {
  test('every section is there, with a heading, and tags are closed', async () => {
    const page = await renderReport(report);
    const document = parse(page);
    expect(all(document, 'section').map((section) => section.getAttribute('id'))).toEqual(sectionIds);
    expect(all(document, 'section > h2')).toHaveLength(sectionIds.length);
    expect(textsOf(document, 'h1')).toEqual(['example/tiny-0.5b']);
    for (const tag of ['section', 'div', 'figure', 'table', 'tr', 'th', 'td', 'svg', 'g', 'details', 'dl', 'ul', 'p']) {
      expect(page.match(new RegExp(`<${tag}[ >]`, 'g'))?.length, tag).toBe(page.match(new RegExp(`</${tag}>`, 'g'))?.length);
    }
    expect(page.match(/\b(NaN|undefined|Infinity)\b|\[object/g)).toBeNull();
  });

  test('nothing is loaded, and nothing runs', async () => {
    const page = await renderReport(report);
    const text = page.replaceAll(/xmlns(:\w+)?="[^"]*"|data:image\/png;base64,[\w+/=]*/g, '');
    expect(text.match(/https?:|\/\/\w|@import/g)).toBeNull();
    for (const element of all(parse(page), '*')) {
      expect(['SCRIPT', 'LINK', 'IFRAME', 'OBJECT', 'BASE']).not.toContain(element.tagName.toUpperCase());
      for (const { name, value } of element.attributes) {
        expect(name).not.toMatch(/^on/);
        if (/^(src|href|xlink:href|srcset)$/.test(name)) expect(value).toMatch(/^data:image\/png;base64,/);
      }
    }
    expect([...page.matchAll(/url\(([^)]*)\)/g)].every((match) => match[1]!.startsWith('#'))).toBe(true);
  });

  test('figures say what they show, by ids that are there once', async () => {
    const document = parse(await renderReport(report));
    const ids = all(document, '[id]').map((element) => element.getAttribute('id'));
    expect(new Set(ids).size).toBe(ids.length);
    for (const element of all(document, '[aria-labelledby]')) expect(ids).toEqual(expect.arrayContaining(element.getAttribute('aria-labelledby')!.split(' ')));
    for (const svg of all(document, 'svg:not([aria-hidden])')) expect(svg.getAttribute('aria-label') ?? svg.querySelector('desc')?.textContent ?? '').toMatch(/\w{3}/);
    for (const image of all(document, 'img')) expect(image.getAttribute('alt')).toMatch(/\w{3}/);
  });

  test('every plan has its row, with all its numbers', async () => {
    const rows = all(parse(await renderReport(report)), '#front tbody tr').map((row) => [row.querySelector('th')!.textContent, ...textsOf(row, 'td')]);
    const loss = lossFormat(report.plans.flatMap((plan) => plan.losses));
    const measured = lossFormat(report.plans.flatMap((plan) => plan.validation?.loss ?? []));
    const expected = report.plans.map((plan) => [
      plan.id === report.chosen ? `${plan.id} chosen` : plan.id,
      ...plan.losses.map(loss),
      ...(plan.validation === undefined ? [] : [measured(plan.validation.loss), formatPercent(plan.validation.accuracy)]),
      formatPercent(plan.gap),
      ...plan.densities.map(formatPercent),
    ]);
    expect(rows).toEqual(expected);
  });

  test('every span is in its table', async () => {
    const rows = all(parse(await renderReport(report)), '#spans details tbody tr').map((row) => textsOf(row, 'td').map((text) => Number(text.replaceAll(',', ''))));
    expect(rows).toEqual(report.plan.spans);
  });

  test('the same report gives the same bytes', async () => {
    const [first, second] = await Promise.all([renderReport(report), renderReport(structuredClone(report))]);
    expect(await renderReport(report)).toBe(first);
    expect(second).toBe(first);
  });
});

test('text is text, wherever it comes from', async () => {
  const evil = `</title></style><script>alert(1)</script><img src="x" onerror='alert(1)'>&amp;\u0000`;
  const base = syntheticReport();
  const page = await renderReport({
    ...base,
    model: { ...base.model, name: evil },
    constraints: [evil],
    reason: evil,
    chosen: evil,
    plans: base.plans.map((plan) => (plan.id === base.chosen ? { ...plan, id: evil } : plan)),
    plan: { ...base.plan, rules: [{ rule: evil, heads: 1 }] },
    seconds: [{ stage: evil, seconds: 1 }],
    version: evil,
  });
  const document = parse(page);
  expect(all(document, 'script')).toEqual([]);
  expect(all(document, 'style')).toHaveLength(1);
  expect(all(document, '[onerror]')).toEqual([]);
  expect(all(document, 'section')).toHaveLength(sectionIds.length);
  expect(['<script', '<img src="x"', '\u0000'].filter((part) => page.includes(part))).toEqual([]);
  const shown = evil.replace('\u0000', '\ufffd');
  for (const selector of ['h1', 'title', '#summary li', '#summary table th']) expect(textsOf(document, selector).join()).toContain(shown);
});

test('one plan has no chart, two lengths have one, more have three', async () => {
  const charts = async (report: SearchReport): Promise<number> => all(parse(await renderReport(report)), '#front svg').length;
  expect(await charts(syntheticReport({ ...small, plans: 1 }))).toBe(0);
  expect(await charts(syntheticReport({ ...small, profiled: [2048], extrapolated: [] }))).toBe(1);
  expect(await charts(syntheticReport({ ...small, extrapolated: [] }))).toBe(1);
  expect(await charts(syntheticReport(small))).toBe(3);
  expect(await charts(syntheticReport(large))).toBe(3);
});

test('80 layers of 64 heads, each with a span of its own, stay below 1 MB', async () => {
  expect((await renderReport(syntheticReport(large))).length).toBeLessThan(300_000);
  const report = syntheticReport({ ...large, kvHeads: 64 });
  const spans = report.plan.spans.map((row, layer) => row.map((_, head) => 64 * (2 + ((layer * 37 + head * 11) % 61))));
  expect((await renderReport({ ...report, plan: { ...report.plan, spans } })).length).toBeLessThan(1_000_000);
});

test('a chosen plan that is not of the front is a bug', async () => {
  await expect(renderReport({ ...syntheticReport(), chosen: 'none' })).rejects.toThrow('internal error');
});
