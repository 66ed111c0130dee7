/**
 * The planted bugs: a text that stands once in a file, and what stands there instead. Left out is what the emulator cannot show: a missing
 * `deviceFence`, or a missing barrier before a ticket is drawn, since blocks run one after another; and a missing `warpBarrier` between a
 * wait and ldmatrix, since what a lane waited for is seen by its warp at once.
 */
const prefill = 'templates/include/moa/prefill.cuh';
const decode = 'templates/include/moa/decode.cuh';
const append = 'templates/include/moa/append.cuh';
const page = 'templates/include/moa/page.cuh';
const tiles = 'templates/include/moa/tiles.cuh';

const mutation = (name, file, find, replace) => ({ name, file, find, replace });

export const mutations = [
  // The mask and the plan's numbers
  mutation('mask: window one too large', 'src/mask/sinkWindow.ts', "subtract(next, variable('window'))", "subtract(i, variable('window'))"),
  mutation('mask: sink one too small', 'src/mask/sinkWindow.ts', 'end: min(next, constant(sink))', 'end: min(next, constant(sink - 1))'),
  mutation('windowOf one too small', 'src/ir/affine.ts', 'return spanOf(rule, limits, bound) - limits.sink;', 'return spanOf(rule, limits, bound) - limits.sink - 1;'),
  mutation('span not rounded up to pages', 'src/ir/affine.ts', 'return Math.ceil(kept / limits.page) * limits.page;', 'return Math.floor(kept / limits.page) * limits.page;'),
  mutation('ring as long as its shortest head', 'src/passes/layoutKvCache.ts', 'span(rule, limits)).reduce(max)', 'span(rule, limits)).at(-1)!'),
  mutation('prefill items with the window of head 0', 'src/passes/schedule/prefillItems.ts', 'const window = windows[head]!;', 'const window = windows[0]!;'),
  mutation('decode segments without the last page of a ring', 'src/passes/schedule/decodeSegments.ts', 'const [begin, end] = [cuts[split]! - firstPage, cuts[split + 1]! - firstPage];', 'const [begin, end] = [cuts[split]! - firstPage, cuts[split + 1]! - firstPage - (split === splits - 1 && ring.pages > 2 ? 1 : 0)];'),

  // Tiles of prefill
  mutation('tile skipped at the edge of the window', tiles, 'begin_[kInterval] = mask.template begin<kInterval>(firstRow) / kColumns;', 'begin_[kInterval] = ceilDivide(mask.template begin<kInterval>(firstRow), kColumns);'),
  mutation('tile visited for nothing', tiles, 'begin_[kInterval] = mask.template begin<kInterval>(firstRow) / kColumns;', 'begin_[kInterval] = maximum(0, mask.template begin<kInterval>(firstRow) / kColumns - 1);'),
  mutation('boundary tile taken for a full one', tiles, 'mask.template begin<kInterval>(last) <= begin && end', 'mask.template begin<kInterval>(first) <= begin && end'),
  mutation('diagonal tile taken for a full one', tiles, 'end <= mask.template end<kInterval>(first);', 'end <= mask.template end<kInterval>(last);'),

  // Prefill
  mutation('prefill: wrong KV head', prefill, 'item.head / Config::kGroupSize * kHeadDim;', 'item.head % (Config::kQueryHeads / Config::kGroupSize) * kHeadDim;'),
  mutation('prefill: no wait for K', prefill, 'cpAsyncWait<0>();\n            blockBarrier();  // K has landed', 'blockBarrier();  // K has landed'),
  mutation('prefill: no wait for V', prefill, 'cpAsyncWait<0>();\n            blockBarrier();  // V has landed', 'blockBarrier();  // V has landed'),
  mutation('prefill: no barrier before K is read', prefill, 'blockBarrier();  // K has landed', '// K has landed'),
  mutation('prefill: no barrier before V is read', prefill, 'blockBarrier();  // V has landed', '// V has landed'),
  mutation('prefill: rows past the sequence are read', prefill, 'source + (row - row0) * kStride, firstRow + row < length);', 'source + (row - row0) * kStride, true);'),
  mutation('prefill: wrong scale', prefill, 'updateSoftmax(probabilities, scores, output, maximum, sum, p.scale * kLog2e);', 'updateSoftmax(probabilities, scores, output, maximum, sum, p.scale);'),
  mutation('prefill: output not rescaled to the new maximum', prefill, 'output[i][j][2 * half] *= correction;', ''),
  mutation('prefill: sum not rescaled to the new maximum', prefill, 'float rowSum = sum[row] * correction;', 'float rowSum = sum[row];'),
  mutation('prefill: maximum of half a row', prefill, 'largest = quadMaximum(largest);', 'largest = larger(largest, shuffleXor(largest, 1));'),
  mutation('prefill: values not transposed in pairs', prefill, 'mma16816<Element>(output[i][2 * pair + 1], probabilities[i][step], values[2], values[3]);', 'mma16816<Element>(output[i][2 * pair + 1], probabilities[i][step], values[3], values[2]);'),
  mutation('prefill: LSE of another row', prefill, 'logSumExp(maximum[row], sum[row], p.scale)', 'logSumExp(maximum[0], sum[row], p.scale)'),
  mutation('prefill: row written past the sequence', prefill, 'const int position = firstRow + row;\n            if (position < item.length) {', 'const int position = firstRow + row;\n            if (position <= item.length) {'),

  // Pages and rings
  mutation('swizzle of 4 rows in pages', page, '(((chunk & 7) ^ (row & 7)) * kChunkBytes)', '(((chunk & 7) ^ (row & 3)) * kChunkBytes)'),
  mutation('swizzle of 4 rows in ldmatrix', page, '^ ((row & 7) * kChunkBytes)', '^ ((row & 3) * kChunkBytes)'),
  mutation('ring: last page in use dropped', page, ': kSinkPages + ceilDivide(minimum(length - kSink, window), kPageTokens);', ': kSinkPages + minimum(length - kSink, window) / kPageTokens;'),
  mutation('ring: a row too many in use', page, 'return maximum(0, minimum(slots, kPageTokens));', 'return maximum(0, minimum(slots + 1, kPageTokens));'),
  mutation('ring: a row too few in use', page, 'return maximum(0, minimum(slots, kPageTokens));', 'return maximum(0, minimum(slots - 1, kPageTokens));'),
  mutation('ring: wrapped one slot early', page, '{ return (j - kSink) % window; }', '{ return (j - kSink) % (window - 1); }'),
  mutation('ring: ages one too small', page, 'return behind < 0 ? behind + window : behind;', 'return behind < 0 ? behind + window - 1 : behind - 1;'),
  mutation('ring: ages not wrapped', page, 'return behind < 0 ? behind + window : behind;', 'return behind;'),

  // Append
  mutation('append: window one too small', append, 'position >= newLength - window;', 'position > newLength - window;'),
  mutation('append: overwritten tokens are written too', append, 'const bool kept = position < Config::kSink || position >= newLength - window;', 'const bool kept = true;'),
  mutation('append: lengths not advanced', append, 'loadGlobal(p.lengths + slot) + added', 'loadGlobal(p.lengths + slot)'),
  mutation('append: lengths advanced by the first block', append, 'if (loadShared<uint32_t>(sharedBase()) != static_cast<uint32_t>(gridSize() - 1)) return;', 'if (loadShared<uint32_t>(sharedBase()) != 0u) return;'),
  mutation('append: values in place of keys', append, '(isValue ? Page<kHeadDim>::kHalfElements : 0)', '(isValue ? 0 : Page<kHeadDim>::kHalfElements)'),
  mutation('append: sequence found one too early', append, 'if (loadGlobal(p.cuSeqlens + middle) <= token) {', 'if (loadGlobal(p.cuSeqlens + middle) < token) {'),
  mutation('RoPE: wrong sign', append, 'packPair<Element>(y0 * cos0 + x0 * sin0, y1 * cos1 + x1 * sin1)', 'packPair<Element>(y0 * cos0 - x0 * sin0, y1 * cos1 - x1 * sin1)'),
  mutation('RoPE: one position late', append, 'static_cast<int64_t>(position) * kHeadDim + chunk * 16;', 'static_cast<int64_t>(position > 0 ? position - 1 : 0) * kHeadDim + chunk * 16;'),
  mutation('RoPE: keys enter the cache unturned', append, 'if (!isValue) {\n                rotate(p, low, high, position, chunk);', 'if (!isValue && position > 1) {\n                rotate(p, low, high, position, chunk);'),

  // Decode
  mutation('decode: wrong KV head', decode, '(segment.kvHead * kGroupSize + row) * kHeadDim', '(segment.kvHead + row) * kHeadDim'),
  mutation('decode: waits for one page too few', decode, 'cpAsyncWait<kStages - 2>();', 'cpAsyncWait<kStages - 1>();'),
  mutation('decode: copies into the page in use', decode, 'reader.start(p, stage == 0 ? kStages - 1 : stage - 1);', 'reader.start(p, stage);'),
  mutation('decode: rows without a token are copied', decode, 'row + step * 4 < rows);', 'true);'),
  mutation('decode: rows without a token are not masked', decode, 'if (rows < kPageTokens) {', 'if (rows < 0) {'),
  mutation('decode: no age mask', decode, 'if (mayHoldOldTokens(page)) applyAge(', 'if (false) applyAge('),
  mutation('decode: age mask of the wrong head', decode, 'member < kGroupSize ? loadGlobal(windows + member) : segment.window;', 'member < kGroupSize ? loadGlobal(p.windows + member) : segment.window;'),
  mutation('decode: age mask one step old', decode, 'if (!allows(mask, length_ - 1, position))', 'if (!allows(mask, length_ - 2, position))'),
  mutation('decode: page of the newest token not masked by age', decode, 'return holdsNewest || Rings::ageOf', 'return Rings::ageOf'),
  mutation('decode: page with one token too old not masked', decode, '>= shortest_;', '> shortest_;'),
  mutation('decode: wrong scale', decode, 'attend(state, queries, mask, p.scale * kLog2e, page, stage);', 'attend(state, queries, mask, p.scale, page, stage);'),
  mutation('decode: a warp left out of the merge', decode, 'for (int part = 0; part < kWarps; ++part) {\n                const SharedAddress row = area + (part * kGroupSize + member) * kMergeFloats * 4;\n                const Vec8 pair', 'for (int part = 1; part < kWarps; ++part) {\n                const SharedAddress row = area + (part * kGroupSize + member) * kMergeFloats * 4;\n                const Vec8 pair'),
  mutation('decode: parts merged without weights', decode, 'const float weight = exp2Approx(maximum * scale2 - finiteMaximum(largest) * scale2);', 'const float weight = 1.0f;'),
  mutation('decode: no barrier before the merge of warps', decode, '        blockBarrier();\n\n        const bool whole', '        const bool whole'),
  mutation('decode: no barrier before the next segment', decode, 'blockBarrier();  // the area is free for the next segment', ''),
  mutation('decode: first split ignored', decode, 'for (int split = 0; split < segment.splits; ++split) {\n                const float* from', 'for (int split = 1; split < segment.splits; ++split) {\n                const float* from'),
  mutation('decode: splits added in the order of finishing', decode, 'const float* from = row + static_cast<int64_t>(split) * kPartialFloats;', 'const float* from = row + static_cast<int64_t>((split + segment.split) % segment.splits) * kPartialFloats;'),
  mutation('decode: merged by the first split to finish', decode, 'if (loadShared<uint32_t>(area) != static_cast<uint32_t>(segment.splits - 1)) return;', 'if (loadShared<uint32_t>(area) != 0u) return;'),
  mutation('decode: LSE without the scale', decode, 'logSumExp(sum.largest, sum.total, p.scale)', 'logSumExp(sum.largest, sum.total, 1.0f)'),
];
