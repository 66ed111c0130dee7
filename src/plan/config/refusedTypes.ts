/** Model types that no plan is for, and why. */
export const REFUSED_TYPES: Readonly<Record<string, string>> = {
  deepseek_v3: 'it has latent attention (MLA), whose cache holds no keys and values by head',
};
