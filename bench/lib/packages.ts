/** Packages that a benchmark is given on its command line. */
import { join } from 'node:path';
import { loadPackage, readDefinition, type Device, type Plan, type PlanDefinition } from 'moa-compile/runtime';

export interface Package {
  readonly definition: PlanDefinition;
  load(device: Device): Promise<Plan>;
}

export function openPackage(folder: string): Package {
  return { definition: readDefinition(join(folder, 'definition.json')), load: (device) => loadPackage(device, folder) };
}
