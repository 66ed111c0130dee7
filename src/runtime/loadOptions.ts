/** What `load` takes of a package, and what it refuses. */
import type { ElementType } from '../ir/nodes.ts';
import type { KernelDefinition, PlanDefinition } from '../ir/planDefinition.ts';
import { describeValue } from '../util/describeValue.ts';
import { checkOptions } from './checkOptions.ts';
import { RuntimeError } from './runtimeError.ts';

export interface LoadOptions {
  /** Load these only; all of the package by default. */
  readonly elementTypes?: readonly ElementType[];
}

const known: Readonly<Record<keyof LoadOptions, true>> = Object.freeze({ elementTypes: true });

const bad = (message: string): RuntimeError => new RuntimeError('badArgument', message, 'load(device, { elementTypes: [...] }), or load(device)');

/** The kernels that are asked for. A list of element types stands for the options that name it. */
export function kernelsToLoad({ kernels }: PlanDefinition, options: LoadOptions | readonly ElementType[] = {}): readonly KernelDefinition[] {
  const given: LoadOptions = Array.isArray(options) ? { elementTypes: options as readonly ElementType[] } : (options as LoadOptions);
  checkOptions('load', given, known, bad);
  const types: unknown = given.elementTypes;
  if (types === undefined) return kernels;
  if (!Array.isArray(types)) throw bad(`load: elementTypes is ${describeValue(types)}; it must be an array`);
  const ofPackage = [...new Set(kernels.map(({ elementType }) => elementType))];
  const has = `the package has ${ofPackage.join(' and ')}`;
  if (types.length === 0) throw new RuntimeError('packageKernel', `load: elementTypes is empty, and a session needs one; ${has}`, 'leave elementTypes out to load all');
  for (const type of types as readonly unknown[]) {
    if (ofPackage.includes(type as ElementType)) continue;
    throw new RuntimeError('packageKernel', `load: the package has no kernels for the element type ${describeValue(type)}; ${has}`, 'compile the plan again with --dtype');
  }
  return kernels.filter(({ elementType }) => types.includes(elementType));
}
