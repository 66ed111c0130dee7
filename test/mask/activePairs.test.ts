import { expect, test } from 'vitest';
import { allows } from '../../src/mask/mask.ts';
import { activePairs, sinkWindow } from '../../src/mask/sinkWindow.ts';

test('activePairs counts the pairs that the mask allows', () => {
  for (const sink of [0, 1, 3, 8]) {
    const mask = sinkWindow(sink);
    for (const window of [1, 2, 5, 9, 40]) {
      let pairs = 0;
      for (let length = 1; length <= 24; length += 1) {
        const i = length - 1;
        for (let j = 0; j < length; j += 1) if (allows(mask, i, j, window)) pairs += 1;
        expect(activePairs(length, window, sink)).toBe(pairs);
      }
    }
  }
});
