import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import Handlebars from 'handlebars';
import type { KernelName } from '../ir/nodes.ts';
import type { PlannerRole } from '../ir/plannerRoles.ts';
import { plannerEntries } from '../kernels/planners.ts';
import { variantNames, variantOf } from '../kernels/variants.ts';
import type { KernelContext, PlannerContext } from './kernelContext.ts';

/** The folder of templates and CUDA headers, beside `src` and `dist`. */
export const templatesFolder = fileURLToPath(new URL('../../templates/', import.meta.url));

let compiled: ReadonlyMap<string, (context: KernelContext | PlannerContext) => string> | undefined;

/** The source of a kernel: its variant's template over its context. A field that the context lacks is an internal error. */
export function renderKernel(kernel: KernelName, context: KernelContext): string {
  compiled ??= compileTemplates();
  return compiled.get(variantOf(kernel).template)!(context);
}

/** The source of a kernel that plans. */
export function renderPlanner(role: PlannerRole, context: PlannerContext): string {
  compiled ??= compileTemplates();
  return compiled.get(role)!(context);
}

function compileTemplates(): ReadonlyMap<string, (context: KernelContext | PlannerContext) => string> {
  const engine = Handlebars.create();
  for (const file of readdirSync(`${templatesFolder}partials`).sort()) {
    engine.registerPartial(file.replace(/\.hbs$/, ''), readFileSync(`${templatesFolder}partials/${file}`, 'utf8'));
  }
  const names = new Set([...variantNames.map((name) => variantOf(name).template), ...plannerEntries.map(([role]) => role)]);
  return new Map(
    [...names].map((name) => {
      const text = readFileSync(`${templatesFolder}kernels/${name}.cu.hbs`, 'utf8');
      return [name, engine.compile<KernelContext | PlannerContext>(text, { noEscape: true, strict: true })];
    }),
  );
}
