/** Masks as data: the formula of docs/plan-format.md, and what every mask shape promises to the kernels. */
import { describe, expect, test } from 'vitest';
import { allows, keysOfRow } from '../../src/mask/mask.ts';
import { maskShapes } from '../../src/mask/registry.ts';
import { sinkWindow } from '../../src/mask/sinkWindow.ts';
import { attends } from './sinkWindow.ts';

test('sinkWindow allows exactly the pairs of the formula: all sinks, windows and pairs up to 20', () => {
  for (let sink = 0; sink <= 8; sink += 1) {
    const mask = sinkWindow(sink);
    for (let window = 1; window <= 12; window += 1) {
      for (let i = 0; i < 20; i += 1) {
        for (let j = 0; j < 20; j += 1) if (allows(mask, i, j, window) !== attends(sink, window, i, j)) expect.fail(JSON.stringify({ sink, window, i, j }));
      }
    }
  }
});

describe.each(Object.entries(maskShapes))('%s', (name, shape) => {
  test('is called what the registry calls it, and describes itself in one line', () => {
    expect(shape(64).name).toBe(name);
    expect(shape(64).description).toMatch(/^\S.*[^.\s]$/);
  });

  test('bounds never fall as i grows, and intervals of neighbouring rows touch or are empty', () => {
    for (const sink of [0, 1, 7, 64]) {
      const mask = shape(sink);
      for (let window = 1; window <= 40; window += 1) {
        for (let i = 0; i < 150; i += 1) {
          const [row, next] = [keysOfRow(mask, i, window), keysOfRow(mask, i + 1, window)];
          row.forEach((keys, n) => {
            const below = next[n]!;
            const ordered = keys.begin <= below.begin && keys.end <= below.end && keys.begin >= 0 && keys.end <= i + 1;
            const touching = keys.begin >= keys.end || below.begin <= keys.end;
            if (!ordered || !touching) expect.fail(JSON.stringify({ sink, window, i, n, keys, below }));
          });
        }
      }
    }
  });

  test('every query attends at least its own key', () => {
    for (let i = 0; i < 200; i += 1) expect(allows(shape(64), i, i, 1)).toBe(true);
  });
});
