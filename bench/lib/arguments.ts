/** Arguments that the benchmarks have in common. */

/** `1,2,3`. */
export const numbers = (list: string): number[] => list.split(',').map(Number);

export interface PackageArgument {
  readonly plan: string;
  /** The variant: what the package was compiled for, or with. */
  readonly implementation: string;
  readonly folder: string;
}

/** `plan=variant:folder`. */
export function parsePackage(argument: string): PackageArgument {
  const match = /^([^=:]+)=([^=:]+):(.+)$/.exec(argument);
  if (match === null) throw new Error(`'${argument}' is not of the form plan=variant:folder`);
  const [plan, implementation, folder] = match.slice(1) as [string, string, string];
  return { plan, implementation, folder };
}
