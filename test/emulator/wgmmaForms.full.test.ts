import { test } from 'vitest';

import { expectProducts, forms } from './wgmmaProducts.ts';

test.each(forms)('$mode: Q K^T and P V of $element, N $n, D $d', expectProducts);
