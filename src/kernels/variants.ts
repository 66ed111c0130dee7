/**
 * The table of variants: for each operation, the ways in which a kernel does it. A row holds the
 * tiles that it chooses from, its parameters, its template and the template's fields, the size of
 * its launches, and its features. Which row an architecture takes is data of its family
 * (`src/arch/families.ts`).
 *
 * A row for every kernel node: a type in `src/ir/nodes.ts` without one does not compile.
 */
import type { Architecture } from '../arch/arch.ts';
import { familyVariants } from '../arch/families.ts';
import type { KernelName, KernelNode, KernelRole, VariantOf } from '../ir/nodes.ts';
import { invariant } from '../util/invariant.ts';
import { appendPortable } from './appendPortable.ts';
import { decodeHopper } from './decodeHopper.ts';
import { decodePortable } from './decodePortable.ts';
import { expandPortable } from './expandPortable.ts';
import { prefillHopper } from './prefillHopper.ts';
import { prefillPortable } from './prefillPortable.ts';
import type { Variant } from './variant.ts';

type KernelOf<Role extends KernelRole, Name> = Extract<
  KernelNode,
  { readonly role: Role; readonly variant: Name }
>;

type KernelVariants = {
  readonly [Role in KernelRole]: {
    readonly [Name in VariantOf<Role>]: Variant<KernelOf<Role, Name>>;
  };
};

export const kernelVariants: KernelVariants = {
  prefill: { portable: prefillPortable, hopper: prefillHopper },
  decode: { portable: decodePortable, hopper: decodeHopper },
  append: { portable: appendPortable },
  expand: { portable: expandPortable },
};

/** The row of a kernel. */
export function variantOf({ role, variant }: KernelName): Variant {
  const ofRole: Readonly<Record<string, Variant>> = kernelVariants[role];
  const row = ofRole[variant];
  invariant(row !== undefined, `there is a variant ${variant} of ${role}`);
  return row;
}

/** The names of all rows. */
export const variantNames: readonly KernelName[] = Object.entries(kernelVariants).flatMap(
  ([role, ofRole]) =>
    Object.keys(ofRole).map((variant) => ({ role, variant }) as unknown as KernelName),
);

/** The rows of the kernels that an architecture runs, by role. */
export function variantsFor({ family }: Pick<Architecture, 'family'>) {
  const { prefill, decode, append, expand } = familyVariants[family];
  return {
    prefill: kernelVariants.prefill[prefill],
    decode: kernelVariants.decode[decode],
    append: kernelVariants.append[append],
    expand: kernelVariants.expand[expand],
  };
}
