/** The kernels that plan, built for the emulator: beside others that do nothing, they keep a session's tables. */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { plannerContext } from '../../../src/emit/kernelContext.ts';
import { renderPlanner } from '../../../src/emit/templateEngine.ts';
import { plannerEntries } from '../../../src/kernels/planners.ts';
import type { Device } from '../../../src/runtime/device.ts';
import { buildEmulatorLibrary } from '../../../src/runtime/emulatorLibrary.ts';
import type { Kernel } from '../../../src/runtime/kernel.ts';
import type { CompiledSpec } from '../../properties/plans.ts';
import { scratchRoot } from '../../scratchRoot.ts';

/** By their names. */
export async function realPlanners(device: Device, compiled: CompiledSpec): Promise<ReadonlyMap<string, Kernel>> {
  const { module, mask } = compiled;
  const folder = mkdtempSync(join(scratchRoot(), 'planners-'));
  const built = plannerEntries.map(async ([role, planner]) => {
    const path = join(folder, `${planner.name}.cu`);
    writeFileSync(path, renderPlanner(role, plannerContext(planner, module, mask)));
    const library = device.loadLibrary(await buildEmulatorLibrary(path, planner.name));
    return [planner.name, library.kernel(planner.name)] as const;
  });
  return new Map(await Promise.all(built));
}
