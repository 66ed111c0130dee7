import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import Handlebars from 'handlebars';
import type { KernelRole } from '../ir/nodes.ts';
import type { KernelContext } from './kernelContext.ts';

/** The folder of templates and CUDA headers, beside `src` and `dist`. */
export const templatesFolder = fileURLToPath(new URL('../../templates/', import.meta.url));

const roles: readonly KernelRole[] = ['prefill', 'prefillWgmma', 'decode', 'append', 'expand'];
let compiled: ReadonlyMap<KernelRole, (context: KernelContext) => string> | undefined;

/** The source of a kernel: its role's template over its context. A field that the context lacks is an internal error. */
export function renderKernel(role: KernelRole, context: KernelContext): string {
  compiled ??= compileTemplates();
  return compiled.get(role)!(context);
}

function compileTemplates(): ReadonlyMap<KernelRole, (context: KernelContext) => string> {
  const engine = Handlebars.create();
  for (const file of readdirSync(`${templatesFolder}partials`).sort()) {
    engine.registerPartial(file.replace(/\.hbs$/, ''), readFileSync(`${templatesFolder}partials/${file}`, 'utf8'));
  }
  return new Map(
    roles.map((role) => {
      const text = readFileSync(`${templatesFolder}kernels/${role}.cu.hbs`, 'utf8');
      return [role, engine.compile<KernelContext>(text, { noEscape: true, strict: true })];
    }),
  );
}
