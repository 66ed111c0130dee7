import type { KernelRole, VariantOf } from '../ir/nodes.ts';
import type { KernelFamily } from './arch.ts';

type FamilyVariants = { readonly [Role in KernelRole]: VariantOf<Role> };

const portable: FamilyVariants = {
  prefill: 'portable',
  decode: 'portable',
  append: 'portable',
  expand: 'portable',
};

/** Which variant of each kernel the architectures of a family run (`src/kernels/variants.ts`). */
export const familyVariants: Readonly<Record<KernelFamily, FamilyVariants>> = Object.freeze({
  portable,
  hopper: { ...portable, prefill: 'hopper', decode: 'hopper' },
});
