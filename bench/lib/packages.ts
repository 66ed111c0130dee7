/** Packages that a benchmark is given on its command line. */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Device, Plan, PlanDefinition } from 'moa-compile/runtime';

/** What `index.js` of a package gives. */
export interface PackageModule {
  readonly definition: PlanDefinition;
  load(device: Device): Promise<Plan>;
}

export async function importPackage(folder: string): Promise<PackageModule> {
  return (await import(pathToFileURL(resolve(folder, 'index.js')).href)) as PackageModule;
}
