/** Kernels that plan, each launched on its own on the emulator. */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { plannerContext } from '../../src/emit/kernelContext.ts';
import { renderPlanner } from '../../src/emit/templateEngine.ts';
import type { PlannerRole } from '../../src/ir/plannerRoles.ts';
import { planners, type Planner } from '../../src/kernels/planners.ts';
import type { Device } from '../../src/runtime/device.ts';
import { buildEmulatorLibrary } from '../../src/runtime/emulatorLibrary.ts';
import type { Kernel } from '../../src/runtime/kernel.ts';
import { packParams, type ParamValue } from '../../src/runtime/packParams.ts';
import { compileSpec } from '../properties/plans.ts';
import { scratchRoot } from '../scratchRoot.ts';

/** The values of a kernel's parameters, by name. More than it has are allowed. */
export type ParamValues = Readonly<Record<string, ParamValue>>;

/** A planner's source for a model with two query heads. All but that of `planPrefill` are the same for every plan. */
export function plannerSource(role: PlannerRole): string {
  const rules = [[0, 1, 2], [256, 0, 1]] as const;
  const { module, mask } = compileSpec({ shape: 'bf16_d64_2x1', rope: false, rules: [rules, rules], modelWindows: [null, 192] });
  return renderPlanner(role, plannerContext(planners[role], module, mask));
}

export class EmulatedPlanner {
  readonly #planner: Planner;
  readonly #kernel: Kernel;

  private constructor(planner: Planner, kernel: Kernel) {
    this.#planner = planner;
    this.#kernel = kernel;
  }

  static async load(device: Device, role: PlannerRole): Promise<EmulatedPlanner> {
    const planner = planners[role];
    const path = join(mkdtempSync(join(scratchRoot(), 'planner-')), `${planner.name}.cu`);
    writeFileSync(path, plannerSource(role));
    const library = device.loadLibrary(await buildEmulatorLibrary(path, planner.name));
    return new EmulatedPlanner(planner, library.kernel(planner.name));
  }

  launch(grid: number, values: ParamValues): void {
    const { threads, sharedBytes, params } = this.#planner;
    this.#kernel.launch({ grid, threads, sharedBytes, params: packParams(params, values) });
  }
}
