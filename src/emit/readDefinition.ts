/** Reads the definition that a package carries, to compare it with the package's files. */
import { definitionFormat, type PlanDefinition } from '../ir/planDefinition.ts';
import { isRecord } from '../util/isRecord.ts';

/** What is needed of a definition to compare it with the files beside it. */
export type FoundDefinition = Pick<PlanDefinition, 'format' | 'cubins' | 'tensorParallel'> & {
  /** All of them, those that plan among them. */
  readonly kernels: readonly Pick<PlanDefinition['kernels'][number], 'name' | 'source'>[];
};

/** The definition in the text of `definition.json`; or why it cannot be read. */
export function readDefinition(text: string): FoundDefinition | string {
  const value = parseJson(text);
  if (value === undefined) return 'it is not JSON';
  if (!isRecord(value)) return 'its definition is no object';
  if (value['format'] !== definitionFormat)
    return `its definition has format ${JSON.stringify(value['format'])}; this version of moa-compile reads format ${definitionFormat}`;
  const { shape, layers, kernels, planners, cubins } = value;
  if (!isRecord(shape) || !Array.isArray(layers) || layers.length === 0) {
    return 'its definition has no shape or no layers';
  }
  if (!Array.isArray(kernels) || !kernels.every(isKernel))
    return 'its definition has damaged kernels';
  if (!isRecord(planners) || !Object.values(planners).every(isPlanner))
    return 'its definition has damaged planners';
  if (!isRecord(cubins) || !Object.values(cubins).every((path) => typeof path === 'string'))
    return 'its definition names no cubins';
  return { ...value, kernels: [...kernels, ...Object.values(planners)] } as unknown as FoundDefinition;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isPlanner(value: unknown): boolean {
  return isRecord(value) && typeof value['name'] === 'string' && typeof value['source'] === 'string';
}

function isKernel(value: unknown): boolean {
  if (!isRecord(value)) return false;
  const { architectures } = value;
  return (
    isPlanner(value) &&
    Array.isArray(architectures) &&
    architectures.every((entry) => typeof entry === 'string')
  );
}
