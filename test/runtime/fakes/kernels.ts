/** Plans whose kernels run nothing: of every kernel that a package has, also those that plan. */
import type { KernelRole } from '../../../src/ir/nodes.ts';
import type { KernelDefinition, PlanDefinition, PlannerDefinition } from '../../../src/ir/planDefinition.ts';
import type { PlannerRole } from '../../../src/ir/plannerRoles.ts';
import type { Device } from '../../../src/runtime/device.ts';
import type { Kernel, LaunchConfig } from '../../../src/runtime/kernel.ts';
import { Plan } from '../../../src/runtime/plan.ts';

export type AnyRole = KernelRole | PlannerRole;

/** A kernel of a package and what it is for. */
export type NamedKernel = (PlannerDefinition | KernelDefinition) & { readonly role: AnyRole };

/** Every kernel of a package. */
export function kernelsOf({ kernels, planners }: PlanDefinition): readonly NamedKernel[] {
  const ofRole = Object.entries(planners) as readonly (readonly [PlannerRole, PlannerDefinition])[];
  return [...kernels, ...ofRole.map(([role, planner]) => ({ ...planner, role }))];
}

/** A plan with these kernels. */
export function planOf(device: Device, definition: PlanDefinition, make: (kernel: NamedKernel) => Kernel): Plan {
  const kernels = new Map(kernelsOf(definition).map((kernel) => [kernel.name, make(kernel)]));
  return Plan.create(device, definition, [], kernels);
}

/** A kernel that does `launch` and nothing else. */
export const kernelThat = (launch: (config: LaunchConfig) => void): Kernel =>
  ({ launch, occupancy: () => 1 }) as unknown as Kernel;

/** A plan whose kernels do nothing. */
export const idlePlan = (device: Device, definition: PlanDefinition): Plan =>
  planOf(device, definition, () => kernelThat(() => {}));

/** A launch, and the values of its parameters. */
export class NotedLaunch {
  readonly role: AnyRole;
  /** Of the kernel. */
  readonly name: string;
  readonly grid: number;
  readonly programmatic: boolean;
  readonly #params: PlanDefinition['params'][string];
  readonly #view: DataView;

  constructor(definition: PlanDefinition, kernel: NamedKernel, config: LaunchConfig) {
    const { grid, threads, sharedBytes, params, programmatic } = config;
    this.role = kernel.role;
    this.name = kernel.name;
    this.grid = grid;
    this.programmatic = programmatic === true;
    this.#params = definition.params[kernel.params]!;
    this.#view = new DataView(params.slice().buffer);
    const expected = { threads: kernel.threads, sharedBytes: kernel.sharedBytes, bytes: this.#params.bytes };
    const found = { threads, sharedBytes, bytes: params.byteLength };
    if (JSON.stringify(found) !== JSON.stringify(expected)) {
      throw new Error(`a launch of ${kernel.name} with ${JSON.stringify(found)}, not ${JSON.stringify(expected)}`);
    }
  }

  has(field: string): boolean {
    return this.#params.fields.some(({ name }) => name === field);
  }

  /** The value of a parameter; of a pointer, its address. */
  field(field: string): number {
    const found = this.#params.fields.find(({ name }) => name === field);
    if (found === undefined) throw new Error(`${this.name} has no parameter ${field}`);
    const { type, offset } = found;
    if (type === 'pointer') return Number(this.#view.getBigUint64(offset, true));
    return type === 'float32' ? this.#view.getFloat32(offset, true) : this.#view.getInt32(offset, true);
  }
}

/**
 * A plan whose kernels keep their launches.
 * @param real kernels that run as well, by name
 */
export function notingPlan(
  device: Device,
  definition: PlanDefinition,
  real: ReadonlyMap<string, Kernel> = new Map(),
): { readonly plan: Plan; readonly launches: NotedLaunch[] } {
  const launches: NotedLaunch[] = [];
  const plan = planOf(device, definition, (kernel) =>
    kernelThat((config) => {
      launches.push(new NotedLaunch(definition, kernel, config));
      real.get(kernel.name)?.launch(config);
    }),
  );
  return { plan, launches };
}

/** Takes the launches that were noted since it was called last. */
export const taken = (launches: NotedLaunch[]): NotedLaunch[] => launches.splice(0);

export const rolesOf = (launches: readonly NotedLaunch[]): readonly AnyRole[] => launches.map(({ role }) => role);
