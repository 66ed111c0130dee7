import { architectureName, readArchitectureSpelling, withoutSuffix } from '../arch/spelling.ts';
import { architectures as supported, bestFor, findArchitecture } from '../arch/registry.ts';
import { type Diagnostic, DiagnosticError } from '../util/diagnostics.ts';
import { assertNever } from '../util/invariant.ts';
import { quote } from '../util/quote.ts';
import { toolchainError } from './toolchainCodes.ts';

/** One architecture to compile for. */
export interface Target {
  readonly name: string;
  /** Whether its PTX is wanted as well, for GPUs that come later. */
  readonly ptx: boolean;
}

export interface ArchitectureOptions {
  /** `TORCH_CUDA_ARCH_LIST`; used when `specs` is empty. */
  readonly torchCudaArchList?: string | undefined;
  /** What nvcc can compile for; undefined when there is no nvcc. */
  readonly nvccArchitectures?: readonly string[] | undefined;
  /** Compute capabilities of this machine's GPUs, for `native`; called when it is asked for. `nativeArchitectures` does it. */
  readonly native?: () => Promise<readonly (readonly [number, number])[]>;
}

/**
 * What `--arch` asks for, without doubles, rising. A spec is a list split at commas, semicolons or spaces of `sm_80`, `80`, `8.0`,
 * `8.0+PTX`, `native`, `all-major`, `all`. `all-major` and `all` add the PTX of the newest, as nvcc does. Throws a DiagnosticError
 * (exit code 2) with every problem: MOA4010 to MOA4015.
 */
export async function parseArchitectures(specs: readonly string[], options: ArchitectureOptions = {}): Promise<readonly Target[]> {
  const { nvccArchitectures } = options;
  const given = split(specs.length > 0 ? specs : [options.torchCudaArchList ?? '']);
  const problems: Diagnostic[] = [];
  const wanted = new Map<string, boolean>();
  const add = (name: string, ptx: boolean): void => void wanted.set(name, ptx || wanted.get(name) === true);
  const usable = supported.filter(({ name }) => nvccArchitectures?.includes(withoutSuffix(name)) !== false).map(({ name }) => name);
  const choices = `choose from: ${usable.join(', ')}`;

  const addUsable = (name: string, ptx: boolean): void => {
    if (usable.includes(name)) add(name, ptx);
    else problems.push(toolchainError('MOA4012', `this nvcc cannot compile for ${name}`, `${choices}; or install a newer CUDA toolkit`));
  };

  for (const text of given) {
    const spelling = readArchitectureSpelling(text);
    switch (spelling.kind) {
      case 'exact':
        if (findArchitecture(spelling.name) === undefined) problems.push(toolchainError('MOA4011', `the kernels do not support ${spelling.name}`, choices));
        else addUsable(spelling.name, spelling.ptx);
        break;
      case 'suffixed':
        // Code for one chip has no PTX that others could run.
        if (findArchitecture(spelling.name) === undefined || spelling.ptx) problems.push(suffixedProblem(spelling, choices));
        else addUsable(spelling.name, false);
        break;
      case 'native': {
        const found = await nativeNames(options.native, usable, problems, choices);
        for (const name of found) add(name, false);
        break;
      }
      case 'all-major':
      case 'all': {
        const names = usable.filter((name) => spelling.kind === 'all' || (name === withoutSuffix(name) && findArchitecture(name)?.computeCapability[1] === 0));
        const newest = names.findLast((name) => name === withoutSuffix(name));
        for (const name of names) add(name, name === newest);
        break;
      }
      case 'unknown':
        problems.push(toolchainError('MOA4010', `${quote(text)} is not an architecture`, `${choices}; or native, all-major, all`));
        break;
      default:
        assertNever(spelling);
    }
  }
  if (given.length === 0) problems.push(toolchainError('MOA4015', 'no architecture was given', `pass --arch; ${choices}; or native, all-major`));
  if (problems.length > 0) throw new DiagnosticError(problems, 2);
  return supported.flatMap(({ name }) => (wanted.has(name) ? [{ name, ptx: wanted.get(name) === true }] : []));
}

/** The architectures that `--arch`, or else `TORCH_CUDA_ARCH_LIST`, asks for by name and that there are kernels for. */
export function namedArchitectures(specs: readonly string[], torchCudaArchList?: string): readonly string[] {
  return split(specs.length > 0 ? specs : [torchCudaArchList ?? '']).flatMap((text) => {
    const spelling = readArchitectureSpelling(text);
    const isNamed = spelling.kind === 'exact' || spelling.kind === 'suffixed';
    return isNamed && findArchitecture(spelling.name) !== undefined ? [spelling.name] : [];
  });
}

const split = (specs: readonly string[]): string[] => specs.flatMap((spec) => spec.split(/[\s,;]+/)).filter((word) => word !== '');

function suffixedProblem({ name, base, ptx }: { readonly name: string; readonly base: string; readonly ptx: boolean }, choices: string): Diagnostic {
  if (ptx && findArchitecture(name) !== undefined) {
    return toolchainError('MOA4013', `${name} is code for one chip only: its PTX runs nowhere else`, `use ${name} without +PTX, and ${base}+PTX for GPUs that come later`);
  }
  const reason = findArchitecture(base) === undefined ? choices : `use ${base}, which runs on the same GPUs`;
  return toolchainError('MOA4013', `${name} is code for one chip or family only, for which there are no kernels of their own`, reason);
}

async function nativeNames(
  native: ArchitectureOptions['native'],
  usable: readonly string[],
  problems: Diagnostic[],
  choices: string,
): Promise<readonly string[]> {
  const capabilities = (await native?.()) ?? [];
  if (capabilities.length === 0) {
    problems.push(toolchainError('MOA4014', 'no GPU was found on this machine, so native cannot be resolved', `name the architecture instead; ${choices}`));
  }
  return capabilities.flatMap((capability) => {
    const best = bestFor(usable, capability);
    // A GPU newer than any architecture here has nothing of its own version.
    if (best !== undefined && usable.includes(architectureName(capability))) return [best];
    problems.push(toolchainError('MOA4014', `this machine has a GPU of compute capability ${capability.join('.')}, which is not supported`, choices));
    return [];
  });
}
