/**
 * The planted bugs: a text that stands once in a file, and what stands there instead. Left out is what the emulator cannot show: a ticket drawn
 * without release or acquire, or without a barrier before it, since blocks run one after another; and a missing `warpBarrier` between a
 * wait and ldmatrix, since what a lane waited for is seen by its warp at once.
 */
const prefill = 'templates/include/moa/prefill.cuh';
const decode = 'templates/include/moa/decode.cuh';
const attend = 'templates/include/moa/decode/mmaAttend.cuh';
const ages = 'templates/include/moa/decode/groupMask.cuh';
const merge = 'templates/include/moa/decode/merge.cuh';
const newToken = 'templates/include/moa/decode/newToken.cuh';
const walker = 'templates/include/moa/decode/segment.cuh';
const cpAsyncPages = 'templates/include/moa/decode/cpAsyncPages.cuh';
const bulkPages = 'templates/include/moa/decode/bulkPages.cuh';
const cache16 = 'templates/include/moa/decode/cache16.cuh';
const segments = 'src/passes/schedule/decodeSegments.ts';
const session = 'src/runtime/session.ts';
const append = 'templates/include/moa/append.cuh';
const rotate = 'templates/include/moa/rotate.cuh';
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
  mutation('segments: without the last page of a ring', segments, 'cuts[split]!, cuts[split + 1]!, split,', 'cuts[split]!, cuts[split + 1]! - (split === splits - 1 && ring.pages > 2 ? 1 : 0), split,'),
  mutation('segments: a block goes on with another\'s', segments, 'const next = segments[index + 1]?.block === block ? free++ : -1;', 'const next = segments[index + 1]?.block === block || (index > 0 && index === segments.length - 1) ? free++ % segments.length : -1;'),
  mutation('segments: splits share a partial result', segments, 'partials += splits;\n      tickets += 1;\n    }\n  });', 'partials += splits - 1;\n      tickets += 1;\n    }\n  });'),

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
  mutation('ring: last page in use dropped', page, ': sinkPages() + ceilDivide(minimum(length - sink, window), kPageTokens);', ': sinkPages() + minimum(length - sink, window) / kPageTokens;'),
  mutation('ring: a row too many in use', page, 'return maximum(0, minimum(slots, kPageTokens));', 'return maximum(0, minimum(slots + 1, kPageTokens));'),
  mutation('ring: a row too few in use', page, 'return maximum(0, minimum(slots, kPageTokens));', 'return maximum(0, minimum(slots - 1, kPageTokens));'),
  mutation('ring: wrapped one slot early', page, '{ return (j - sink) % window; }', '{ return (j - sink) % (window - 1); }'),
  mutation('ring: ages one too small', page, 'return behind < 0 ? behind + window : behind;', 'return behind < 0 ? behind + window - 1 : behind - 1;'),
  mutation('ring: ages not wrapped', page, 'return behind < 0 ? behind + window : behind;', 'return behind;'),

  // Append
  mutation('append: window one too small', append, 'position >= newLength - window;', 'position > newLength - window;'),
  mutation('append: overwritten tokens are written too', append, 'const bool kept = position < Config::kSink || position >= newLength - window;', 'const bool kept = true;'),
  mutation('append: lengths not advanced', append, 'loadGlobal(p.lengths + slot) + added', 'loadGlobal(p.lengths + slot)'),
  mutation('append: lengths advanced by the first block', append, 'if (loadShared<uint32_t>(sharedBase()) != static_cast<uint32_t>(gridSize() - 1)) return;', 'if (loadShared<uint32_t>(sharedBase()) != 0u) return;'),
  mutation('append: values in place of keys', append, '(isValue ? Cache::kHalfBytes : 0)', '(isValue ? 0 : Cache::kHalfBytes)'),
  mutation('append: sequence found one too early', append, 'if (loadGlobal(p.cuSeqlens + middle) <= token) {', 'if (loadGlobal(p.cuSeqlens + middle) < token) {'),
  mutation('RoPE: wrong sign', rotate, 'multiplyAdd(y0, cos0, x0 * sin0)', 'multiplyAdd(y0, cos0, -(x0 * sin0))'),
  mutation('RoPE: the angles of another pair', rotate, 'table + chunk * 16', 'table + (chunk ^ 1) * 16'),
  mutation('RoPE: keys enter the cache unturned', append, 'if (!isValue) {\n                rotateChunks', 'if (!isValue && position > 1) {\n                rotateChunks'),

  // Decode: the new token
  mutation('new token: left out of a full page', decode, 'item.rows < kPageTokens || token.isIn(item.page)', 'item.rows < kPageTokens'),
  mutation('new token: the row in shared memory left stale', newToken, 'storeShared(to + Cache::chunkOffset(row_, isValue ? high : low), isValue ? high_ : low_);', ''),
  mutation('new token: patched into every page', newToken, 'if (page != page_) return false;', 'if (page_ < 0) return false;'),
  mutation('new token: half of it into the ring', newToken, 'storeGlobal(reinterpret_cast<Chunk*>(ring_ + Cache::chunkOffset(row_, high)), high_);', ''),
  mutation('new token: by the warp of other rows', newToken, 'row_ / 16 * 16 != warpRow', 'row_ / 16 * 16 != (warpRow ^ 16)'),
  mutation('new token: by another group of warps', newToken, 'behind % step != offset', 'behind % step == offset'),
  mutation('new token: values over keys', newToken, '(isValue ? Cache::kHalfBytes : 0);\n    }', '0;\n    }'),
  mutation('new token: slot of the token before', newToken, 'slotOf(length - 1, segment.window)', 'slotOf(maximum(0, length - 2), segment.window)'),
  mutation('new token: key of another KV head', newToken, '* Config::kvHeads(p) + segment.kvHead;\n        const Vec16*', '* Config::kvHeads(p);\n        const Vec16*'),
  mutation('decode RoPE: key turned one position late', newToken, 'if (!isValue) rotateChunks<Element>(low, high, p.cosSin + static_cast<int64_t>(position) *', 'if (!isValue) rotateChunks<Element>(low, high, p.cosSin + static_cast<int64_t>(position + 1) *'),
  mutation('decode RoPE: value turned too', newToken, 'if (!isValue) rotateChunks', 'rotateChunks'),
  mutation('decode RoPE: query with the wrong partner', newToken, 'queries[tile][step + kSteps / 2][part], angles', 'queries[tile][step + kSteps / 2][part ^ 1], angles'),
  mutation('decode RoPE: query with the angles of another pair', newToken, 'table + 2 * Cache::column(step, part)', 'table + 2 * Cache::column(step, part ^ 1)'),
  mutation('decode: queries of another KV head', newToken, 'segment.kvHead * Config::groupSize(p);\n#pragma', 'segment.kvHead;\n#pragma'),

  // Decode: lengths
  mutation('decode: lengths advanced while others read them', decode, 'if (shuffle(finished, 0) != static_cast<uint32_t>(gridSize() * readers - 1)) return;', 'if (shuffle(finished, 0) != 0u) return;'),
  mutation('decode: lengths not advanced', decode, 'loadGlobal(p.lengths + slot) + 1);', 'loadGlobal(p.lengths + slot));'),
  mutation('decode: counts one reader too few', decode, 'advanceLengths(p, Config::kWarps);', 'advanceLengths(p, Config::kWarps - 1);'),
  mutation('decode: attends the old tokens alone', walker, 'length_ = loadGlobal(p.lengths + slot) + 1;', 'length_ = maximum(1, loadGlobal(p.lengths + slot));'),

  // Decode: launches that overlap
  mutation('launches: reads early what the launch before wrote', decode, 'if (p.early == 0) waitForPrerequisites();', ''),
  mutation('launches: the session allows early reads of its own layer', session, "this.#lastWritten !== layer && this.#lastWritten !== 'all'", "this.#lastWritten !== 'all'"),
  mutation('launches: compute does not wait', decode, 'waited = true;\n                    waitForPrerequisites();', 'waited = true;'),
  mutation('launches: the producer does not wait', decode, '[] {\n                    waitForPrerequisites();\n', '[] {\n'),
  mutation('launches: dependents let go before the wait', decode, 'waitForPrerequisites();\n                    launchDependents();', 'launchDependents();\n                    waitForPrerequisites();'),

  // Decode: pages, a warp for itself
  mutation('cp.async: waits for one page too few', cpAsyncPages, 'cpAsyncWait<kStages - 2>();', 'cpAsyncWait<kStages - 1>();'),
  mutation('cp.async: copies into the page in use', cpAsyncPages, 'start(p, stage_ == 0 ? kStages - 1 : stage_ - 1);', 'start(p, stage_);'),
  mutation('cp.async: rows without a token are copied', cpAsyncPages, 'Cache::rowAt(first + step * 512) < rows);', 'true);'),
  mutation('cp.async: a row too few is copied', cpAsyncPages, 'Cache::rowAt(first + step * 512) < rows);', 'Cache::rowAt(first + step * 512) + 1 < rows);'),
  mutation('cp.async: groups take the same pages', cpAsyncPages, 'static MOA_DEVICE int offset() { return warpIndex() / 4; }', 'static MOA_DEVICE int offset() { return 0; }'),
  mutation('pages: the last of a segment is not known', walker, 'const bool last = page_ + Config::kGroups >= itemEnd_;', 'const bool last = page_ + Config::kGroups > itemEnd_;'),
  mutation('pages: a group without pages gets no item', walker, 'maximum(1, ceilDivide(pageEnd_ - begin, Config::kGroups)) * Config::kGroups', 'maximum(1, pageEnd_ - begin)'),
  mutation('pages: the first of a segment for one group only', walker, 'firstEnd_ = begin + Config::kGroups;', 'firstEnd_ = begin + 1;'),
  mutation('pages: no segment is empty', walker, '(empty() ? PageItem::kEmpty : 0);', '0;'),
  mutation('pages: every segment is', walker, '(empty() ? PageItem::kEmpty : 0);', '(page_ + 1 >= pageEnd_ ? PageItem::kEmpty : 0);'),
  mutation('pages: numbers of pages 32 too far ahead', walker, 'numbers_ = loadNumbers(p, begin);', 'numbers_ = loadNumbers(p, begin + 1);'),
  mutation('pages: the last segment left out', walker, '(last && next_ < 0 ? PageItem::kFinal : 0)', '(last ? PageItem::kFinal : 0)'),

  // Decode: pages in bulk
  mutation('bulk: the producer does not wait for room', bulkPages, 'mbarrierWait(empty(stage), parity);', ''),
  mutation('bulk: wrong parity for room', bulkPages, 'uint32_t parity = 1;', 'uint32_t parity = 0;'),
  mutation('bulk: parity for room not flipped', bulkPages, 'parity ^= 1;\n                if (first)', 'if (first)'),
  mutation('bulk: wrong parity for pages', bulkPages, 'uint32_t parity_ = 0;', 'uint32_t parity_ = 1;'),
  mutation('bulk: pages not waited for', bulkPages, 'mbarrierWait(full(stage_), parity_);', 'if (item(stage_) == 0) mbarrierWait(full(stage_), parity_);'),
  mutation('bulk: room not given back', bulkPages, 'if (laneIndex() == 0) mbarrierArrive(empty(stage_));', ''),
  mutation('bulk: room given back before the last use', bulkPages, 'mbarrierInit(empty(stage), Config::kWarps / kGroups);', 'mbarrierInit(empty(stage), 1);'),
  mutation('bulk: no fence behind what warps wrote', bulkPages, 'if (written) asyncProxyFence();', ''),
  mutation('bulk: bytes of the keys alone are expected', bulkPages, 'mbarrierArriveExpect(full(stage), Cache::kPageBytes);', 'mbarrierArriveExpect(full(stage), Cache::kHalfBytes);'),
  mutation('bulk: something is copied for an item without a page', bulkPages, 'laneIndex() == 0 && !walker.empty()', 'laneIndex() == 0'),
  mutation('bulk: the phase does not wait for every word of the item', bulkPages, 'mbarrierInit(full(stage), kItemLanes);', 'mbarrierInit(full(stage), kItemLanes - 1);'),
  mutation('bulk: rows without a token keep what lies there', decode, 'Cache::clearValues(pages.stage() + Cache::kHalfBytes, row, Attend::kRows, item.rows);', ''),
  mutation('bulk: a row too many is cleared', cache16, 'const int first = maximum(row, limit);', 'const int first = maximum(row, limit - 1);'),
  mutation('bulk: both groups compute the same pages', bulkPages, 'int stage_ = warpIndex() / 4;', 'int stage_ = 0;'),
  mutation('bulk: a group leaves out its stages', bulkPages, 'stage_ += kGroups;', 'stage_ += 1;'),
  mutation('bulk: wrong parity of landed copies', bulkPages, 'uint32_t landingParity = 1;', 'uint32_t landingParity = 0;'),

  // Decode: attention to a page
  mutation('decode: rows without a token are not masked', ages, 'if (item.rows < kPageTokens) {', 'if (item.rows < 0) {'),
  mutation('decode: no age mask', ages, 'mayHoldOldTokens(item.page)) applyAge', 'mayHoldOldTokens(item.page) && false) applyAge'),
  mutation('decode: age mask of the wrong head', ages, 'loadGlobal(p.windows + segment.kvHead * Config::groupSize(p) + member)', 'loadGlobal(p.windows + member)'),
  mutation('decode: age mask one step old', ages, 'MOA_DEVICE int newest() const { return length_ - 1; }', 'MOA_DEVICE int newest() const { return length_ - 2; }'),
  mutation('decode: page of the newest token not masked by age', ages, 'return holdsNewest || RingGeometry::ageOf', 'return RingGeometry::ageOf'),
  mutation('decode: page with one token too old not masked', ages, '>= shortest_;', '> shortest_;'),
  mutation('decode: wrong scale', attend, 'scale2_ = p.scale * Cache::keyScale(p, segment.kvHead) * kLog2e;', 'scale2_ = p.scale * Cache::keyScale(p, segment.kvHead);'),
  mutation('decode: probabilities not transposed', attend, 'const uint32_t low = transposeMatrix(packPair<Operand>(scores[tile][0], scores[tile][1]));', 'const uint32_t low = packPair<Operand>(scores[tile][0], scores[tile][1]);'),
  mutation('decode: one chain of K Q^T lost', attend, 'scores[tile][e] = sums[0][tile][e] + sums[1][tile][e];', 'scores[tile][e] = sums[0][tile][e];'),
  mutation('decode: maximum of the warp not raised by all', attend, 'if (!warpAny(passed)) return;', 'if (!passed) return;'),
  mutation('decode: output not rescaled to the new maximum', attend, 'output_[tile][j][e] *= correction[e & 1];', 'output_[tile][j][e] *= j == 0 ? 1.0f : correction[e & 1];'),
  mutation('decode: sum of half the lanes', attend, 'value += shuffleXor(value, 4);', ''),

  // Decode: merges
  mutation('decode: a warp left out of the merge', merge, 'for (int part = 0; part < kWarps; ++part) {\n                const Vec8 columns', 'for (int part = 1; part < kWarps; ++part) {\n                const Vec8 columns'),
  mutation('decode: parts merged without weights', merge, 'return exp2Approx(maximum * scale2 - finiteMaximum(largest) * scale2);', 'return 1.0f;'),
  mutation('decode: no barrier before the merge of warps', merge, 'const DecodeSegment& segment, SharedAddress area) {\n        meet();\n        if (segment.splits', 'const DecodeSegment& segment, SharedAddress area) {\n        if (segment.splits'),
  mutation('decode: no barrier before the next segment', merge, 'meet();  // the area is free for the next segment', ''),
  mutation('decode: first split of each warp ignored', merge, 'for (int first = warp; first < segment.splits; first +=', 'for (int first = warp + (warp == 0 ? kWarps : 0); first < segment.splits; first +='),
  mutation('decode: splits added in the order of finishing', merge, 'static_cast<int64_t>(split) * kPartialFloats + (firstMember', 'static_cast<int64_t>((split + segment.split) % segment.splits) * kPartialFloats + (firstMember'),
  mutation('decode: merged by the first split to finish', merge, 'const bool finished = loadShared<uint32_t>(area) == last;', 'const bool finished = loadShared<uint32_t>(area) == 0u;'),
  mutation('decode: tickets of the lengths drawn by splits', merge, 'p.tickets + 1 + segment.ticket', 'p.tickets + segment.ticket'),
  mutation('decode: no barrier behind the gathering of splits', merge, 'gather(p, segment, area);\n                meet();', 'gather(p, segment, area);'),
  mutation('decode: LSE without the scale', merge, 'logSumExp(sum.largest, sum.total, p.scale)', 'logSumExp(sum.largest, sum.total, 1.0f)'),
];
