/**
 * The mask as it is printed into kernels, and `templates/include/moa/tiles.cuh`, against TypeScript: a C++ program writes a line for each
 * case of a small space, exhaustively, and the same lines are made here.
 */
import { beforeAll, describe, expect, test } from 'vitest';
import { kernelContext } from '../../src/emit/kernelContext.ts';
import { renderKernel } from '../../src/emit/templateEngine.ts';
import type { ScheduledModule } from '../../src/ir/nodes.ts';
import { allows, keysOfRow } from '../../src/mask/mask.ts';
import { classifyTiles } from '../spec/classifyTiles.ts';
import { sinkWindow } from '../../src/mask/sinkWindow.ts';
import { pipeline } from '../../src/passes/pipeline.ts';
import { runPasses } from '../../src/passes/runPasses.ts';
import { runCxx } from '../cxx.ts';
import { readCase } from '../passes/readCase.ts';

const sinks = [0, 1, 3, 4, 8, 64];
const windows = [1, 2, 3, 4, 5, 7, 8, 9, 64, 100];
const columns = [1, 2, 4, 64];
const rows = 20;

/** `struct Mask` of an emitted kernel, for a sink. */
function printedMask(sink: number): string {
  const { module, context } = readCase('shape layers=1 queryHeads=1 kvHeads=1 headDim=64\nlayer 0: N');
  const { kernels } = runPasses(module, pipeline, context) as ScheduledModule;
  const prefill = kernels.find(({ role }) => role === 'prefill')!;
  const text = renderKernel(prefill, kernelContext({ ...prefill, sink }, sinkWindow));
  const mask = /struct Mask \{[\s\S]*?\n\};\n/.exec(text);
  if (mask === null) throw new Error('an emitted prefill kernel has a struct Mask');
  return mask[0];
}

/** Only C++, no mask of its own: everything it prints comes from the emitted text and tiles.cuh. */
const program = `
#include <cstdio>
#include <initializer_list>
#include <moa/tiles.cuh>
${sinks.map((sink) => `namespace sink${sink} {\n${printedMask(sink)}}`).join('\n')}

template <class Mask, int kInterval>
void bounds(const Mask& mask, int sink, int i) {
    printf("bounds %d %d %d %d: %d %d\\n", sink, mask.window, i, kInterval, mask.template begin<kInterval>(i), mask.template end<kInterval>(i));
    if constexpr (kInterval + 1 < Mask::kIntervals) bounds<Mask, kInterval + 1>(mask, sink, i);
}

template <class Mask, int kColumns>
void tiles(const Mask& mask, int sink) {
    for (int first = 0; first < ${rows}; ++first) {
        for (int last = first; last < first + 6; ++last) {
            printf("tiles %d %d %d %d %d:", sink, mask.window, kColumns, first, last);
            const moa::TileSequence<Mask, kColumns> sequence(mask, first, last);
            for (int n = 0; n < sequence.count(); ++n) {
                const int t = sequence.at(n);
                printf(" %d%s", t, moa::allowsAll(mask, first, last, t * kColumns, (t + 1) * kColumns) ? "*" : "");
            }
            printf("\\n");
        }
    }
}

template <class Mask>
void all(int sink) {
    for (int window : {${windows.join(', ')}}) {
        const Mask mask{window};
        for (int i = 0; i < ${rows}; ++i) {
            bounds<Mask, 0>(mask, sink, i);
            printf("row %d %d %d: ", sink, window, i);
            for (int j = 0; j < ${rows}; ++j) printf("%d", moa::allows(mask, i, j));
            printf("\\n");
        }
        ${columns.map((width) => `tiles<Mask, ${width}>(mask, sink);`).join('\n        ')}
    }
}

int main() {
    ${sinks.map((sink) => `all<sink${sink}::Mask>(${sink});`).join('\n    ')}
}
`;

const bit = (condition: boolean): string => (condition ? '1' : '0');
const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

function expectedLines(): string[] {
  const lines: string[] = [];
  for (const sink of sinks) {
    const mask = sinkWindow(sink);
    for (const window of windows) {
      for (let i = 0; i < rows; i += 1) {
        keysOfRow(mask, i, window).forEach(({ begin, end }, interval) => lines.push(`bounds ${sink} ${window} ${i} ${interval}: ${begin} ${end}`));
        const row = range(rows).map((j) => bit(allows(mask, i, j, window)));
        lines.push(`row ${sink} ${window} ${i}: ${row.join('')}`);
      }
      for (const width of columns) {
        for (let first = 0; first < rows; first += 1) {
          for (let last = first; last < first + 6; last += 1) {
            const visited = classifyTiles(mask, first, last, width, window).map(({ tile, full }) => ` ${tile}${full ? '*' : ''}`);
            lines.push(`tiles ${sink} ${window} ${width} ${first} ${last}:${visited.join('')}`);
          }
        }
      }
    }
  }
  return lines;
}

describe('the printed mask, compiled', () => {
  let printed: string[] = [];
  let expected: string[] = [];

  beforeAll(() => {
    printed = runCxx(program).toString().trimEnd().split('\n');
    expected = expectedLines();
  });

  test('there is a line for every case', () => {
    expect(printed.length).toBe(expected.length);
  });

  test.each([
    ['bounds', 'begin and end of every interval'],
    ['row', 'allows'],
    ['tiles', 'TileSequence in its order, allowsAll marked'],
  ])('%s: %s', (kind) => {
    const different = expected.flatMap((line, index) => (line.startsWith(`${kind} `) && printed[index] !== line ? [{ printed: printed[index], expected: line }] : []));
    expect(different.slice(0, 5)).toEqual([]);
    expect(expected.filter((line) => line.startsWith(`${kind} `)).length).toBeGreaterThan(1000);
  });
});
