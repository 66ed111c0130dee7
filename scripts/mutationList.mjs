/**
 * The planted bugs: a text that stands once in a file, and what stands there instead. Left out is what the emulator cannot show: a ticket drawn
 * without release or acquire, or without a barrier before it, since blocks run one after another; a missing `warpBarrier` between a
 * wait and ldmatrix, since what a lane waited for is seen by its warp at once; and one missing before a stage is released, since all lanes have
 * come through the operation before. Speed is not looked at either: a turn that nobody takes, a plan that is made again for the same step,
 * or a page that is cleared although nobody reads it.
 */
const prefill = 'templates/include/moa/prefill/mmaPrefill.cuh';
const wgmmaOutput = 'templates/include/moa/prefill/wgmmaOutput.cuh';
const wgmmaRoom = 'templates/include/moa/prefill/wgmmaRoom.cuh';
const wgmmaScan = 'templates/include/moa/prefill/wgmmaScan.cuh';
const finite = 'templates/include/moa/finite.cuh';
const wgmmaProducer = 'templates/include/moa/prefill/wgmmaProducer.cuh';
const wgmmaCompute = 'templates/include/moa/prefill/wgmmaCompute.cuh';
const keyPages = 'templates/include/moa/prefill/keyPages.cuh';
const prefillPlan = 'templates/include/moa/plan/prefillPlan.cuh';
const prefillRoom = 'src/runtime/prefillRoom.ts';
const decode = 'templates/include/moa/decode.cuh';
const attend = 'templates/include/moa/decode/mmaAttend.cuh';
const ages = 'templates/include/moa/decode/groupMask.cuh';
const merge = 'templates/include/moa/decode/merge.cuh';
const scoreOptions = 'templates/include/moa/scoreOptions.cuh';
const newToken = 'templates/include/moa/decode/newToken.cuh';
const walker = 'templates/include/moa/decode/segment.cuh';
const cpAsyncPages = 'templates/include/moa/decode/cpAsyncPages.cuh';
const cpAsyncHalves = 'templates/include/moa/decode/cpAsyncHalves.cuh';
const bulkPages = 'templates/include/moa/decode/bulkPages.cuh';
const cache16 = 'templates/include/moa/decode/cache16.cuh';
const decodePlan = 'templates/include/moa/plan/decodePlan.cuh';
const session = 'src/runtime/session.ts';
const sessionEffect = 'src/runtime/sessionEffect.ts';
const graph = 'src/runtime/graph.ts';
const recording = 'src/runtime/recording.ts';
const device = 'src/runtime/device.ts';
const buffer = 'src/runtime/buffer.ts';
const sequences = 'src/runtime/sequences.ts';
const stepPlans = 'src/runtime/stepPlans.ts';
const queryRows = 'templates/include/moa/decode/queryRows.cuh';
const launches = 'src/runtime/launches.ts';
const packedCalls = 'src/runtime/packedCalls.ts';
const append = 'templates/include/moa/append.cuh';
const expand = 'templates/include/moa/expand.cuh';
const e4m3 = 'templates/include/moa/e4m3.cuh';
const rotate = 'templates/include/moa/rotate.cuh';
const page = 'templates/include/moa/page.cuh';
const tiles = 'templates/include/moa/tiles.cuh';
const affine = 'src/ir/affine.ts';
const takePages = 'templates/include/moa/plan/takePages.cuh';
const freePages = 'templates/include/moa/plan/freePages.cuh';
const changeSequence = 'templates/include/moa/plan/changeSequence.cuh';
const windows = 'templates/include/moa/plan/windows.cuh';
const blockScan = 'templates/include/moa/plan/blockScan.cuh';
const newTokens = 'templates/include/moa/plan/newTokens.cuh';
const newTokensHost = 'src/runtime/newTokens.ts';
const pageAccounts = 'src/runtime/pageAccounts.ts';
const pageCounts = 'src/runtime/pageCounts.ts';
const planTables = 'src/ir/planTables.ts';
const structs = 'src/ir/structs.ts';
const buffers = 'src/kernels/buffers.ts';

const fmaAttend = 'templates/include/moa/decode/fmaAttend.cuh';
const rope = 'src/runtime/rope.ts';
const ropeTables = 'src/runtime/ropeTables.ts';
const sessionBuffers = 'src/runtime/sessionBuffers.ts';

/** Tests that planted bugs are held against: files, and the test of them that is run. */
const quick = { files: ['test/properties/quick.test.ts'] };
const positions = { files: ['test/properties/ropePositions.test.ts'], only: 'llama, theta' };
const farPositions = { files: ['test/properties/ropePositions.test.ts'], only: 'a million' };
const attentionFactor = { files: ['test/properties/ropePositions.test.ts'], only: 'yarn, factor 32' };
const partOfHead = { files: ['test/properties/rotations.test.ts'], only: 'a quarter of a head$' };
const neighbours = { files: ['test/properties/rotations.test.ts'], only: 'neighbours of a part of a head, in bulk$' };
const partOnCores = { files: ['test/properties/rotations.test.ts'], only: 'a part of a head on CUDA cores' };
const excluded = { files: ['test/properties/excluded.test.ts'], only: 'tokens leave|same tile|chunks|E4M3|headDim 128' };
const fullRing = { files: ['test/properties/counts.test.ts'], only: 'leave a full ring' };
const excludedPages = { files: ['test/properties/excluded.test.ts'], only: 'whose page' };
const excludedOnCores = { files: ['test/properties/excluded.test.ts'], only: 'CUDA cores' };
const spoiledRows = { files: ['test/properties/excluded.test.ts'], only: 'rows that attend' };
const spoiledRows8 = { files: ['test/properties/excluded.test.ts'], only: 'infinite values of E4M3' };
const graphTensors = { files: ['test/properties/graphs.test.ts'], only: 'a tensor that ends' };
const pageTables = { files: ['test/emulator/pages.test.ts'] };
const packageData = { files: ['test/kernels/buffers.test.ts'] };
const decodePlans = { files: ['test/emulator/decodePlan.test.ts'] };
const sequencesTest = { files: ['test/properties/sequences.test.ts'] };
const prefillPlans = { files: ['test/emulator/prefillPlan.test.ts'] };
/** A test of what sessions launch and count, by the end of its name or a part of it. */
const ofSteps = (only) => ({ files: ['test/runtime/steps.test.ts'], only });
const ofPages = (only) => ({ files: ['test/runtime/pages.test.ts'], only });
const countedAccounts = { files: ['test/runtime/pageAccounts.test.ts'], only: 'anywhere' };
const families = { files: ['test/runtime/pageAccounts.test.ts'], only: 'do not rise|gave up|chain of forks' };
const mixtures = { files: ['test/properties/mixtures.test.ts'], only: 'cp.async' };
const mixedErrors = { files: ['test/properties/sessionErrors.test.ts'], only: 'a mixed step' };
/** Few blocks, so that each has several pieces of a ring. */
const pieces = { files: ['test/properties/decode.test.ts'], only: 'many pieces' };
const pageWalker = { files: ['test/emulator/pageWalker.test.ts'] };
const copies = { files: ['test/runtime/emulatorDevice.test.ts'], only: 'copies go where they should' };
const earlyReads = { files: ['test/runtime/session.test.ts'], only: 'reads early' };
const refusedLaunch = { files: ['test/runtime/cudaGraphs.test.ts'], only: 'that the driver refuses' };
const spanTables = { files: ['test/ir/planTables.test.ts'] };
const ropeOptions = { files: ['test/runtime/rope.test.ts'] };

const mutation = (name, file, find, replace, test = quick) => ({ name, file, find, replace, test });
/** A bug of the search, which its own tests look for. */
const search = { files: ['test/search/modelWindows.test.ts', 'test/search/modelFingerprint.test.ts'] };
const ofSearch = (name, file, find, replace) => mutation(name, file, find, replace, search);

export const mutations = [
  // The mask and the plan's numbers
  mutation('mask: window one too large', 'src/mask/sinkWindow.ts', "subtract(next, variable('window'))", "subtract(i, variable('window'))"),
  mutation('mask: sink one too small', 'src/mask/sinkWindow.ts', 'end: min(next, constant(sink))', 'end: min(next, constant(sink - 1))'),
  mutation('windowOf one too small', 'src/ir/affine.ts', 'return spanOf(rule, limits, bound, modelWindow) - sinkOf(limits, modelWindow);', 'return spanOf(rule, limits, bound, modelWindow) - sinkOf(limits, modelWindow) - 1;'),
  mutation('span not rounded up to pages', 'src/ir/affine.ts', 'const whole = Math.ceil(kept / limits.page) * limits.page;', 'const whole = Math.floor(kept / limits.page) * limits.page;'),
  mutation('ring as long as its shortest head', 'src/passes/layoutKvCache.ts', 'spans.reduce(max)', 'spans.at(-1)!'),

  // The model's own windows
  mutation('model window: the cut forgotten', affine, 'return Math.min(whole, modelWindow ?? Infinity);', 'return whole;'),
  mutation('model window: a token too long', affine, 'return Math.min(whole, modelWindow ?? Infinity);', 'return Math.min(whole, (modelWindow ?? Infinity) + 1);'),
  mutation('model window: a token too short', affine, 'return Math.min(whole, modelWindow ?? Infinity);', 'return Math.min(whole, (modelWindow ?? Infinity) - 1);'),
  mutation('model window: the sink kept', affine, "return typeof modelWindow === 'number' ? 0 : limits.sink;", 'return limits.sink;'),
  mutation('model window: rings as long as the plan says', affine, 'return longest <= (modelWindow ?? Infinity) ? whole : min(whole, constant(modelWindow!));', 'return whole;'),
  mutation('model window: of another rule, a token longer', 'src/passes/canonicalizeRules.ts', '- 1) * limits.page + 1;', '- 1) * limits.page;'),
  mutation('model window: forgotten when heads are grouped', 'src/passes/groupHeads.ts', 'modelWindow: layer.modelWindow, headGroups', 'modelWindow: null, headGroups'),
  mutation('model window: forgotten with rings', 'src/passes/resolveGqa.ts', "kind: 'ringLayer' as const, modelWindow, heads", "kind: 'ringLayer' as const, modelWindow: null, heads"),
  mutation('model window: the first layer\'s in all', 'src/emit/planDefinition.ts', '...layerDefinition(layer, module,', '...layerDefinition({ ...layer, modelWindow: module.layers[0]!.modelWindow }, module,'),
  mutation('model window: kernels with the sink of the plan', 'src/passes/selectTiles.ts', 'sink: sinkOf(module.limits, module.layers[layer]!.modelWindow),', 'sink: module.limits.sink,'),
  mutation(
    'model window: all classes planned with the sink of the first',
    'templates/kernels/planPrefill.cu.hbs',
    'p.classSinks + moa::blockIndex()',
    'p.classSinks',
  ),
  mutation(
    'model window: work items with the sink of the plan',
    sessionBuffers,
    'integers(\'classSinks\', classes.map(({ sink }) => sink))',
    'integers(\'classSinks\', classes.map(() => plan.limits.sink))',
  ),
  mutation('model window: a sink in the mask of kernels', 'src/emit/kernelContext.ts', 'const mask = family(kernel.sink);', 'const mask = family(64);'),

  // The model's own windows in the search
  ofSearch('search: spans past the window are paid for', 'src/search/instance.ts', 'Math.min(spanOf(rule, limits, length, modelWindow), length)', 'Math.min(spanOf(rule, limits, length, null), length)'),
  ofSearch('search: losses behind a sink that is not there', 'src/search/instance.ts', '(profile.model.windows?.[layer] ?? null) === null ? sinkPages : 0', 'sinkPages'),
  ofSearch('search: the window of layer 0 in all layers', 'src/search/instance.ts', 'const window = windows[layer]!;', 'const window = windows[0]!;'),
  ofSearch('search: influence outside the window is lost', 'src/search/losses.ts', 'pages >= whole ? 0 :', 'pages > whole ? 0 :'),
  ofSearch('search: windows that grow with the length', 'src/search/losses.ts', 'if (window !== null && window <= longest) return 1;', ''),
  ofSearch('search: a longer rule that keeps the same', 'src/search/instance.ts', '(key) => keys.indexOf(key)', '(_, place) => place'),
  ofSearch('search: a plan that forgets the windows', 'src/search/planFile.ts', '...(windows === undefined ? {} : { windows }) };', '};'),
  ofSearch('search: validated with the sink of the plan', 'src/search/validation.ts', 'windowOf(rule, limits, length, modelWindows[at]!)', 'windowOf(rule, limits, length, null)'),
  ofSearch('search: influence outside the window is believed', 'src/search/profile/influenceCheck.ts', 'PAGE * distanceOf(at, pages) >= modelWindow', 'PAGE * distanceOf(at, pages) > modelWindow'),
  ofSearch('check-plan: keeps past the window', 'src/search/check/spanAt.ts', 'own !== null && own < kept ? own : kept', 'kept'),
  ofSearch('check-plan: a sink in layers with a window', 'src/search/check/costs.ts', 'own === null ? span - this.#limits.sink', 'own !== undefined ? span - this.#limits.sink'),
  ofSearch('check-plan: a profile with other windows', 'src/search/check/headLosses.ts', "!== JSON.stringify(expected.windows ?? null)) problems", "=== 'never') problems"),
  ofSearch('fingerprint: contents of the same size and time', 'src/search/modelFingerprint.ts', '[size, mtimeNs, ctimeNs, ino, dev].join()', '[size, mtimeNs].join()'),
  ofSearch('fingerprint: names without contents', 'src/search/modelFingerprint.ts', '${await hashOfFile(join(folder, name))}  ${name}', '${name}'),

  mutation(
    'prefill items with the window of head 0',
    prefillPlan,
    'result.window = loadGlobal(in_.windows + (sequence.slot * in_.queryHeads + head));',
    'result.window = loadGlobal(in_.windows + sequence.slot * in_.queryHeads);',
  ),
  mutation(
    'segments: without the last page of a ring',
    decodePlan,
    'planned.segment.pageEnd = to == pieces.last ? pages : pageAt(to + 1);',
    'planned.segment.pageEnd = to == pieces.last ? maximum(1, pages - 1) : pageAt(to + 1);',
  ),
  mutation(
    'segments: a block goes on with another\'s',
    decodePlan,
    'last.next = rest + number - 1;',
    'last.next = rest + number;',
    decodePlans,
  ),
  mutation(
    'segments: splits share a partial result',
    decodePlan,
    'get(partialAt(slot)) + pieces.first + unit;',
    'get(partialAt(slot)) + pieces.first;',
    decodePlans,
  ),

  // Tiles of prefill
  mutation('tile skipped at the edge of the window', tiles, 'begin_[kInterval] = maximum(0, mask.template begin<kInterval>(firstRow) - origin) / kColumns;', 'begin_[kInterval] = ceilDivide(maximum(0, mask.template begin<kInterval>(firstRow) - origin), kColumns);'),
  mutation('tile visited for nothing', tiles, 'begin_[kInterval] = maximum(0, mask.template begin<kInterval>(firstRow) - origin) / kColumns;', 'begin_[kInterval] = maximum(0, maximum(0, mask.template begin<kInterval>(firstRow) - origin) / kColumns - 1);'),
  mutation('boundary tile taken for a full one', tiles, 'mask.template begin<kInterval>(last) <= begin && end', 'mask.template begin<kInterval>(first) <= begin && end'),
  mutation('diagonal tile taken for a full one', tiles, 'end <= mask.template end<kInterval>(first);', 'end <= mask.template end<kInterval>(last);'),

  // Prefill
  mutation('prefill: wrong KV head', prefill, 'item.head / Config::groupSize(p) * kHeadDim, keyStride(p),', 'item.head % (Config::queryHeads(p) / Config::groupSize(p)) * kHeadDim, keyStride(p),'),
  mutation('prefill: no wait for K', prefill, 'cpAsyncWait<0>();\n            blockBarrier();  // K has landed', 'blockBarrier();  // K has landed'),
  mutation('prefill: no wait for V', prefill, 'cpAsyncWait<0>();\n            blockBarrier();  // V has landed', 'blockBarrier();  // V has landed'),
  mutation('prefill: no barrier before K is read', prefill, 'blockBarrier();  // K has landed', '// K has landed'),
  mutation('prefill: no barrier before V is read', prefill, 'blockBarrier();  // V has landed', '// V has landed'),
  mutation('prefill: rows past the sequence are read', prefill, 'source + (row - row0) * stride, firstRow + row < length);', 'source + (row - row0) * stride, true);'),
  mutation('prefill: wrong scale', prefill, 'updateSoftmax(probabilities, scores, output, maximum, sum, scoreUnit<Config>(p) * kLog2e);', 'updateSoftmax(probabilities, scores, output, maximum, sum, p.scale);'),
  mutation('prefill: output not rescaled to the new maximum', prefill, 'output[row >> 1][j][2 * (row & 1)] *= correction[row];', ''),
  mutation('prefill: sum not rescaled to the new maximum', prefill, 'float rowSum = sum[row] * correction[row];', 'float rowSum = sum[row];'),
  mutation('prefill: maximum of half a row', prefill, 'largest = quadMaximum(largest);', 'largest = larger(largest, shuffleXor(largest, 1));'),
  mutation('prefill: values not transposed in pairs', prefill, 'mma16816<Element>(output[i][2 * pair + 1], probabilities[i][step], values[2], values[3]);', 'mma16816<Element>(output[i][2 * pair + 1], probabilities[i][step], values[3], values[2]);'),
  mutation('prefill: LSE of another row', prefill, 'logSumExpOf<Config>(p, maximum[row], sum[row])', 'logSumExpOf<Config>(p, maximum[0], sum[row])'),
  mutation('prefill: row written past the sequence', prefill, 'const int position = firstRow + row;\n            if (position < item.length) {', 'const int position = firstRow + row;\n            if (position <= item.length) {'),
  mutation('prefill: output rescaled for another row', prefill, '+ 1] *= correction[row];', '+ 1] *= correction[row & ~1];'),
  mutation('prefill: the next page is read before the walk is there', prefill, 'blockBarrier();  // V has landed, all warps are done with K, and the walk has come to the next page\n            place = loadPlace();', 'place = loadPlace();\n            blockBarrier();  // V has landed'),
  mutation('prefill: a page copied where there is none', prefill, 'if (place.page.exists()) loadPage<false>(p, sharedK, place.page);', 'loadPage<false>(p, sharedK, place.page);'),
  mutation('prefill: rows of a ring page counted for headDim 64', prefill, 'chunk / (kBlockRowBytes / kChunkBytes) % kPageTokens < rows', 'chunk / kChunks % kPageTokens < rows'),
  mutation('prefill: keys of the ring in place of values', prefill, '(kValues ? Page<kHeadDim>::kHalfElements : 0)', '0'),
  mutation('prefill: ring of the first sequence', prefill, 'loadGlobal(p.pageTable + item.tableOffset + page.ringPage())', 'loadGlobal(p.pageTable + page.ringPage())'),
  mutation('prefill: mask of the block\'s first warp', prefill, 'item.queryBlock * kRows + warpIndex() * kRowTiles * 16 + (laneIndex() >> 2);', 'item.queryBlock * kRows + (laneIndex() >> 2);'),

  // Pages of keys: which are visited, and which of their keys are attended
  mutation('tile: window of a chunk counted from the sequence\'s first token', tiles, 'mask.template begin<kInterval>(firstRow) - origin)', 'mask.template begin<kInterval>(firstRow))'),
  mutation('tile: sink of a chunk counted from its first token', tiles, 'mask.template end<kInterval>(lastRow) - origin)', 'mask.template end<kInterval>(lastRow))'),
  mutation('tiles: one too far from the diagonal', tiles, 'return end_[interval] - 1 - n;', 'return end_[interval] - n;'),
  mutation('tiles: the last interval from one tile too far on', tiles, 'return end_[0] - 1 - n;', 'return end_[0] - n;'),
  mutation('tiles: intervals counted on from the one before', tiles, '            n -= size(interval);\n', ''),
  mutation('tiles: only the sink\'s tiles are counted', tiles, 'for (int interval = 0; interval <= kTop; ++interval) tiles', 'for (int interval = 0; interval < 1; ++interval) tiles'),
  mutation('tiles: a page that later rows alone do not attend any more is none', tiles, 'begin<kInterval>(first) < end && begin', 'begin<kInterval>(last) < end && begin'),
  mutation('key pages: rows of a chunk counted from its first', keyPages, 'tiles_(mask, item.cached + firstRow, item.cached + lastRow, item.cached)', 'tiles_(mask, firstRow, lastRow)'),
  mutation(
    'key pages: newest slot one too far',
    prefillPlan,
    'newestSlot(own.cached - in_.sink, ring.window)',
    'newestSlot(own.cached - in_.sink + 1, ring.window)',
    prefillPlans,
  ),
  mutation('key pages: tokens held are not asked', keyPages, 'return minimum(held(), headWindow - 1 - row);', 'return headWindow - 1 - row;'),
  mutation('key pages: a row attends one cached token too many', keyPages, 'headWindow - 1 - row);', 'headWindow - row);'),
  mutation('key pages: a row attends one cached token too few', keyPages, 'headWindow - 1 - row);', 'headWindow - 2 - row);'),
  mutation('key pages: the sink is held in the window too', keyPages, 'minimum(cached - geometry.sink, window)', 'minimum(cached, window)'),
  mutation('key pages: oldest token not wrapped', keyPages, 'wraps ? newest - age + window : newest - age', 'newest - age'),
  mutation('key pages: the oldest page is left out', keyPages, '? behind + pages : behind) + 1);', '? behind + pages : behind));'),
  mutation('key pages: newest and oldest token in one page, all round', keyPages, '(wraps ? behind + pages', '(behind < 0 ? behind + pages'),
  mutation('key pages: one page twice, all round', keyPages, 'return minimum(pages, (wraps', 'return maximum(0, (wraps'),
  mutation('key pages: goes round past the last page', keyPages, 'page < 0 ? page + pages_ : page', 'page < 0 ? page + pages_ + 1 : page'),
  mutation('key pages: starts at the ring\'s last page', keyPages, 'const int page = newest_ / kPageTokens - n;', 'const int page = pages_ - 1 - n;'),
  mutation('key pages: done before the sink', keyPages, 'return n < sinkPages_ ? KeyPage::ofRing(sinkPages_ - 1 - n) : KeyPage{KeyPage::kNone};', 'return KeyPage{KeyPage::kNone};'),
  mutation('key pages: the oldest page is the ring\'s first', keyPages, 'if (n < windowPages_) {', 'if (n < windowPages_ - 1) {'),
  mutation('key pages: window pages counted from the sink\'s first', keyPages, 'firstWindowPage_ = geometry.sinkPages();', 'firstWindowPage_ = 0;'),
  mutation('page mask: begins before the page', keyPages, 'const int first = minimum(maximum(begin, 0), kPageTokens);', 'const int first = minimum(begin < 0 ? -begin : begin, kPageTokens);'),
  mutation('page mask: ends one key early', keyPages, '~uint64_t{0} >> (kPageTokens - count) << first', '~uint64_t{0} >> (kPageTokens - count) << first & ~uint64_t{0} >> 1'),
  mutation('page mask: row counted from the chunk', keyPages, 'rowOfNewPage(mask, item.cached + row, item.cached + page.code * kPageTokens)', 'rowOfNewPage(mask, row, page.code * kPageTokens)'),
  mutation('page mask: key counted from the chunk', keyPages, 'rowOfNewPage(mask, item.cached + row, item.cached + page.code * kPageTokens)', 'rowOfNewPage(mask, item.cached + row, page.code * kPageTokens)'),
  mutation('page mask: what stands in for a page is not masked', keyPages, 'if (!page.exists() || first >= item.length) return kNoneOfPage;', 'if (!page.exists()) return kWholePage;\n    if (first >= item.length) return kNoneOfPage;'),
  mutation('page mask: sink rows that hold no token', keyPages, 'PageRow::ofRange(0, minimum(item.cached, geometry.sink) - ', 'PageRow::ofRange(0, geometry.sink - '),
  mutation('page mask: sink rows past the sink', keyPages, 'PageRow::ofRange(0, minimum(item.cached, geometry.sink) - ', 'PageRow::ofRange(0, item.cached - '),
  mutation('page mask: sink page taken for a whole one', keyPages, '>= (page.ringPage() + 1) * kPageTokens ? kWholePage', '> page.ringPage() * kPageTokens ? kWholePage'),
  mutation('page mask: newest token of the ring left out', keyPages, 'PageRow::ofRange(newest - allowed + 1, newest + 1)', 'PageRow::ofRange(newest - allowed + 1, newest)'),
  mutation('page mask: a token too old in the ring', keyPages, 'PageRow::ofRange(newest - allowed + 1, newest + 1)', 'PageRow::ofRange(newest - allowed, newest + 1)'),
  mutation('page mask: what wrapped is forgotten', keyPages, ' | PageRow::ofRange(maximum(oldestBehind, newest + 1), item.ringWindow - slot)', ''),
  mutation('page mask: a token too old behind the newest', keyPages, 'newest + item.ringWindow - allowed + 1;', 'newest + item.ringWindow - allowed;'),
  mutation('page mask: rows past the ring\'s last slot', keyPages, 'newest + 1), item.ringWindow - slot)', 'newest + 1), kPageTokens)'),
  mutation('page mask: by rows alone where a window begins', keyPages, 'mask.template begin<Mask::kIntervals - 1>(item.cached + last) <= key ? kUpToRow', 'mask.template begin<Mask::kIntervals - 1>(item.cached + first) <= key ? kUpToRow'),
  mutation('page mask: by rows alone everywhere', keyPages, 'mask.template begin<Mask::kIntervals - 1>(item.cached + last) <= key ? kUpToRow : kPartOfPage', 'kUpToRow'),
  mutation('page mask: share of a page counted from the chunk', keyPages, 'const int key = item.cached + page.code * kPageTokens;', 'const int key = page.code * kPageTokens;'),
  mutation('page mask: ring page with one token too old taken for a whole one', keyPages, 'return inOrder && age < ring', 'return inOrder && age <= ring'),
  mutation('page mask: ring page whole for the first row only', keyPages, 'ring.attendedBy(last, item.window) ?', 'ring.attendedBy(first, item.window) ?'),
  mutation('page mask: ring page with the newest token taken for one in order', keyPages, 'end == slot + kPageTokens && (!holdsNewest || ring.newest == end - 1);', 'end == slot + kPageTokens;'),
  mutation('page mask: ring page with the newest token last but one', keyPages, 'ring.newest == end - 1)', 'ring.newest >= end - 2)'),
  mutation('page mask: ring\'s last page of a few slots taken for a whole one', keyPages, 'inOrder = end == slot + kPageTokens && (', 'inOrder = ('),
  mutation('page mask: ring page that the last row does not attend is none', keyPages, 'if (youngest >= ring.attendedBy(first, item.window))', 'if (youngest >= ring.attendedBy(last, item.window))'),
  mutation('page mask: ring page with the newest token is as old as its last slot', keyPages, 'const int youngest = holdsNewest ? 0 : ', 'const int youngest = '),

  // Prefill on Hopper: products
  mutation('wgmma: step along headDim of half a row of the swizzle', wgmmaCompute, 'advanceDescriptor(k, i / 4 * kKeyBlockBytes + i % 4 * 32)', 'advanceDescriptor(k, i / 4 * kKeyBlockBytes + i % 4 * 16)'),
  mutation('wgmma: second block of K a page further', wgmmaCompute, 'advanceDescriptor(k, i / 4 * kKeyBlockBytes + i % 4 * 32)', 'advanceDescriptor(k, i / 4 * Room::kPageBlockBytes + i % 4 * 32)'),
  mutation('wgmma: second block of K not reached', wgmmaCompute, 'advanceDescriptor(k, i / 4 * kKeyBlockBytes + i % 4 * 32)', 'advanceDescriptor(k, i * 32)'),
  mutation('wgmma: queries stay at their first step', wgmmaCompute, 'advanceDescriptor(q, i / 4 * kQueryBlockBytes + i % 4 * 32)', 'advanceDescriptor(q, i / 4 * kQueryBlockBytes)'),
  mutation('wgmma: queries of the first group', wgmmaCompute, 'return Room::queries(stage) + group * kQueryGroupBytes;', 'return Room::queries(stage);'),
  mutation('wgmma: held queries of the first group', wgmmaCompute, 'warpIndex() * 16 + (laneIndex() & 15));', '(warpIndex() & 3) * 16 + (laneIndex() & 15));'),
  mutation('wgmma: leading bytes of V as for K-major', wgmmaCompute, 'matrixDescriptor(values(stage), kKeyBlockBytes, 8 * kBlockRowBytes)', 'matrixDescriptor(values(stage), 16, 8 * kBlockRowBytes)'),
  mutation('wgmma: leading bytes of V of one page', wgmmaCompute, 'matrixDescriptor(values(stage), kKeyBlockBytes, 8 * kBlockRowBytes)', 'matrixDescriptor(values(stage), Room::kPageBlockBytes, 8 * kBlockRowBytes)'),
  mutation('wgmma: leading and stride bytes of V exchanged', wgmmaCompute, 'matrixDescriptor(values(stage), kKeyBlockBytes, 8 * kBlockRowBytes)', 'matrixDescriptor(values(stage), 8 * kBlockRowBytes, kKeyBlockBytes)'),
  mutation('wgmma: step along keys of 8 rows', wgmmaCompute, 'advanceDescriptor(v, i * 16 * kBlockRowBytes)', 'advanceDescriptor(v, i * 8 * kBlockRowBytes)'),
  mutation('wgmma: S added to what lay there', wgmmaCompute, 'wgmmaRegistersKMajor<Element, kWidth>(scores, queries.fragments[i], keyStep, i > 0);', 'wgmmaRegistersKMajor<Element, kWidth>(scores, queries.fragments[i], keyStep, true);'),
  mutation('wgmma: S overwritten at each step', wgmmaCompute, '% 4 * 32), keyStep, i > 0);', '% 4 * 32), keyStep, false);'),
  mutation('wgmma: K of the stage before', wgmmaCompute, 'multiplyKeys<kWidth>(scores, queries, queriesOf(group, stage), keys(turns.key.index()));', 'multiplyKeys<kWidth>(scores, queries, queriesOf(group, stage), keys(turns.key.index() == 0 ? kKeyStages - 1 : turns.key.index() - 1));'),
  mutation('wgmma: no fence before S', wgmmaCompute, 'namedBarrier(turnOf(group), kTurnThreads);\n        wgmmaFence();', 'namedBarrier(turnOf(group), kTurnThreads);'),
  mutation('wgmma: no fence before the first S', wgmmaCompute, 'wgmmaFence();\n            multiplyKeys', 'multiplyKeys'),
  mutation('wgmma: no fence before the last O', wgmmaCompute, 'wgmmaFence();\n                    multiplyValues<kColumns>', 'multiplyValues<kColumns>'),
  mutation('wgmma: no fence before the next item\'s S', wgmmaCompute, 'const bool more = taken.next == Next::item;\n        wgmmaFence();', 'const bool more = taken.next == Next::item;'),
  mutation('wgmma: S and O committed as one', wgmmaCompute, 'wgmmaCommit();\n        mbarrierWait(fullValue', 'mbarrierWait(fullValue'),
  mutation('wgmma: S not waited for', wgmmaCompute, 'wgmmaWait<1>(scores);', ''),
  mutation('wgmma: S waited for one batch too early', wgmmaCompute, 'wgmmaWait<1>(scores);', 'wgmmaWait<2>(scores);'),
  mutation('wgmma: O waited for one batch too early', wgmmaCompute, 'wgmmaWait<0>(output);\n            if constexpr (kScanned) spoil<kColumns>(softmax, probabilities, turns);\n            releaseValues', 'wgmmaWait<1>(output);\n            spoil<kColumns>(softmax, probabilities, turns);\n            releaseValues'),
  mutation('wgmma: the wait does not name O', wgmmaCompute, 'wgmmaWait<0>(output);\n            if constexpr (kScanned) spoil<kColumns>(softmax, probabilities, turns);\n            releaseValues', 'wgmmaWait<0>(scores);\n            spoil<kColumns>(softmax, probabilities, turns);\n            releaseValues'),
  mutation('wgmma: the last O not waited for', wgmmaCompute, 'wgmmaWait<1>(output);', ''),
  mutation('wgmma: the next item\'s S waited for one batch too early', wgmmaCompute, 'wgmmaWait<0>(scores);\n        if (!more)', 'wgmmaWait<1>(scores);\n        if (!more)'),
  mutation('wgmma: probabilities packed before O is done with the last ones', wgmmaCompute, 'pinRegisters(scores);\n', 'packProbabilities<kWidth>(probabilities, scores);\n        pinRegisters(scores);\n'),
  mutation('wgmma: O rescaled while it is under way', wgmmaCompute, 'pinRegisters(scores);\n', 'for (int i = 0; i < kHeadDim / 2; ++i) output[i] *= correction[i / 2 % 2];\n        correction[0] = correction[1] = 1.0f;\n        pinRegisters(scores);\n'),

  // Prefill on Hopper: those who compute
  mutation('wgmma: keys not waited for', wgmmaCompute, 'while (!step.isLast()) {\n            mbarrierWait(fullKey(turns.key.index()), turns.key.parity());', 'while (!step.isLast()) {'),
  mutation('wgmma: the item\'s first keys not waited for', wgmmaCompute, 'turns.key.advance();\n            mbarrierWait(fullKey(turns.key.index()), turns.key.parity());', 'turns.key.advance();'),
  mutation('wgmma: values not waited for', wgmmaCompute, 'mbarrierWait(fullValue(turns.pending().index()), turns.pending().parity());\n        wgmmaFence();', 'wgmmaFence();'),
  mutation('wgmma: the item\'s last values not waited for', wgmmaCompute, 'mbarrierWait(fullValue(turns.pending().index()), turns.pending().parity());\n                if', 'if'),
  mutation('wgmma: next item taken without its queries', wgmmaCompute, 'mbarrierWait(fullQuery(stage), turns.query.parity());', ''),
  mutation('wgmma: queries of the item before', wgmmaCompute, 'turns.query.advance();\n        }\n        step = ', '}\n        step = '),
  mutation('wgmma: item not waited for', wgmmaCompute, 'mbarrierWait(fullKey(turns.key.index()), turns.key.parity());\n        if (readStep', 'if (readStep'),
  mutation('wgmma: keys released before they are read', wgmmaCompute, 'wgmmaWait<1>(scores);\n        releaseKeys(turns);', 'releaseKeys(turns);\n        wgmmaWait<1>(scores);'),
  mutation('wgmma: values released before they are read', wgmmaCompute, 'wgmmaWait<0>(output);\n            if constexpr (kScanned) spoil<kColumns>(softmax, probabilities, turns);\n            releaseValues(turns);', 'releaseValues(turns);\n            wgmmaWait<0>(output);'),
  mutation('wgmma: queries\' place released before the results have left it', wgmmaCompute, 'store<kScanned>(p, slot, item, output, softmax, Room::queries(stage));\n            release(emptyQuery(stage));', 'release(emptyQuery(stage));\n            store<kScanned>(p, slot, item, output, softmax, Room::queries(stage));'),
  mutation('wgmma: queries\' stage released before the results have left it', wgmmaCompute, 'store<kScanned>(p, slot, item, output, softmax, keys(taken.stage));\n            if (more) release(emptyKey(taken.stage));', 'if (more) release(emptyKey(taken.stage));\n            store<kScanned>(p, slot, item, output, softmax, keys(taken.stage));'),
  mutation('wgmma: queries released before they are held', wgmmaCompute, 'if constexpr (kHoldsQueries) release(emptyKey(taken.stage));', 'if constexpr (kHoldsQueries) {\n                release(emptyKey(taken.stage));\n                queries.load(keys(taken.stage));\n            }'),
  mutation('wgmma: results go where the next item\'s belong', wgmmaCompute, 'loadItem(itemSlot(slot))', 'loadItem(itemSlot(turns.item.index()))'),
  mutation('wgmma: results by way of the next item\'s queries', wgmmaCompute, 'store<kScanned>(p, slot, item, output, softmax, Room::queries(stage));', 'store<kScanned>(p, slot, item, output, softmax, Room::queries(stage ^ 1));'),
  mutation('wgmma: results by way of the keys of the next step', wgmmaCompute, 'store<kScanned>(p, slot, item, output, softmax, keys(taken.stage));', 'store<kScanned>(p, slot, item, output, softmax, keys(turns.key.index()));'),
  mutation('wgmma: results by way of the first group\'s rows', wgmmaOutput, 'to(room + 4 * (lane & 3), warpRow + (lane >> 2));', 'to(room + 4 * (lane & 3), warpRow % 64 + (lane >> 2));'),
  mutation('wgmma: results read as of a tile of one group', wgmmaOutput, 'room + swizzledOffset<kRows>(warpRow', 'room + swizzledOffset<64>(warpRow'),
  mutation('wgmma: results read without the swizzle of their row', wgmmaOutput, '(from ^ ((row & 7) * kChunkBytes))', 'from'),
  mutation('wgmma: results read before all lanes have left theirs', wgmmaOutput, 'warpBarrier();\n        constexpr int kRowsAtOnce', 'constexpr int kRowsAtOnce'),
  mutation('wgmma: no fence between results and the copies that come there', wgmmaOutput, 'asyncProxyFence();  // the room is one that copies write to', ''),
  mutation('wgmma: queries left before the last S is computed', wgmmaCompute, 'if (step.isLast()) release(emptyQuery(stage));', 'release(emptyQuery(stage));'),
  mutation('wgmma: queries left while the last S is computed', wgmmaCompute, 'multiply<kColumns>(scores, probabilities, output, queries, group, taken.stage, turns);\n                        leaveQueries(step, taken.stage);', 'leaveQueries(step, taken.stage);\n                        multiply<kColumns>(scores, probabilities, output, queries, group, taken.stage, turns);'),
  mutation('wgmma: queries of an item of one step never left', wgmmaCompute, 'if (more) leaveQueries(step, taken.stage);', ''),
  mutation('wgmma: second half of O where the first belongs', wgmmaOutput, 'out += kOutputChunks * kChunkElements;', ''),
  mutation('wgmma: second half of O read before all lanes have left theirs', wgmmaOutput, 'warpBarrier();\n            out += kOutputChunks', 'out += kOutputChunks'),
  mutation('wgmma: second half of O not divided by its sum', wgmmaOutput, 'output[4 * chunk + 2 * row + 1] *= inverse;', ''),
  mutation('wgmma: O by way of the values of another step', wgmmaCompute, 'store<kScanned>(p, slot, item, output, softmax, outputs());', 'store<kScanned>(p, slot, item, output, softmax, values(0));'),
  mutation('wgmma: a tile of one page takes the next one too', wgmmaProducer, 'if constexpr (kTilePages == 1) return Pages{', 'if constexpr (kTilePages == 3) return Pages{'),
  mutation('wgmma: where a group begins, a tile of one page is copied twice', wgmmaProducer, 'if (kTilePages == 2 && (here', 'if ((here'),
  mutation('wgmma: values kept where the group passes by the next item', wgmmaCompute, 'if (!more) releaseValues(turns);', ''),
  mutation('wgmma: values released that are read for the item without a next one', wgmmaCompute, 'if (more) releaseValues(turns);', 'releaseValues(turns);'),
  mutation('wgmma: queries\' stage released twice by a group that passes by it', wgmmaCompute, 'if (more) release(emptyKey(taken.stage));', 'release(emptyKey(taken.stage));'),
  mutation('wgmma: turn given to the group itself', wgmmaCompute, 'wgmmaCommit();\n        namedBarrierArrive(turnOf(group + 1 == kGroups ? 0 : group + 1), kTurnThreads);', 'wgmmaCommit();\n        namedBarrierArrive(turnOf(group), kTurnThreads);'),
  mutation('wgmma: turns of two groups', wgmmaCompute, 'wgmmaCommit();\n        namedBarrierArrive(turnOf(group + 1 == kGroups ? 0 : group + 1), kTurnThreads);', 'wgmmaCommit();\n        namedBarrierArrive(turnOf(group == 0 ? 1 : 0), kTurnThreads);'),
  mutation('wgmma: first turn given by the wrong group', wgmmaCompute, 'if (group == kGroups - 1) namedBarrierArrive(turnOf(0), kTurnThreads);', 'if (group == 0) namedBarrierArrive(turnOf(0), kTurnThreads);'),
  mutation('wgmma: nobody gives the first turn', wgmmaCompute, 'if (group == kGroups - 1) namedBarrierArrive(turnOf(0), kTurnThreads);', ''),
  mutation('wgmma: turns that all groups meet for', wgmmaCompute, 'static constexpr int kTurnThreads = 256;', 'static constexpr int kTurnThreads = 128 * kGroups;'),
  mutation('wgmma: turn on the block\'s barrier', wgmmaCompute, 'return 1 + group;', 'return group;'),
  mutation('wgmma: no turn taken for a step that is skipped', wgmmaCompute, 'passTurn(group);\n            passStep(turns);\n            step.flags', 'passStep(turns);\n            step.flags'),
  mutation('wgmma: no turn taken for a skipped step before the group\'s first', wgmmaCompute, 'passTurn(group);\n        }\n        return Taken', '}\n        return Taken'),
  mutation('wgmma: a turn too many in an item that is passed by', wgmmaCompute, 'if (!first) passTurn(group);', 'passTurn(group);'),
  mutation('wgmma: no turn taken in an item that is passed by', wgmmaCompute, 'if (!first) passTurn(group);', ''),
  mutation('wgmma: a group of a few rows passes by', wgmmaCompute, '* kRows + 64 * group >= loadShared', '* kRows + 64 * group + 63 >= loadShared'),
  mutation('wgmma: keys kept of queries that are passed by', wgmmaCompute, 'if constexpr (kHoldsQueries) {\n            releaseKeys(turns);', 'if constexpr (kHoldsQueries) {\n            turns.key.advance();'),
  mutation('wgmma: queries kept that are passed by', wgmmaCompute, 'release(emptyQuery(turns.query.index()));', ''),
  mutation('wgmma: queries released unseen by who passes by', wgmmaCompute, 'mbarrierWait(fullQuery(turns.query.index()), turns.query.parity());', ''),
  mutation('wgmma: item kept that is passed by', wgmmaCompute, 'release(emptyItem(turns.item.index()));', ''),
  mutation('wgmma: values kept of a step that is skipped', wgmmaCompute, 'release(emptyValue(turns.value.index()));', ''),
  mutation('wgmma: values of the next step for the present probabilities', wgmmaCompute, 'return kSkipsSteps ? pendingValue : value;', 'return value;'),
  mutation('wgmma: values go on with each that is released', wgmmaCompute, 'if constexpr (!kSkipsSteps) turns.value.advance();', 'turns.value.advance();'),
  mutation('wgmma: values released before the item\'s first O', wgmmaCompute, 'if (opaque(first ? 1 : 0) != 0) {', 'if (opaque(first ? 1 : 0) == 2) {'),
  mutation('wgmma: a step skipped for one page without keys', wgmmaRoom, '(flags >> 4 * group & kSkips) == kSkips;', '(flags >> 4 * group & kSkips) >= kNoneOfPage;'),
  mutation('wgmma: half a tile of values for a step of which the rest is skipped', wgmmaCompute, '            step.flags |= Step::kBegins;', '            '),
  mutation('wgmma: steps skipped that the first group skips', wgmmaRoom, '(flags >> 4 * group & kSkips) == kSkips;', '(flags & kSkips) == kSkips;'),
  mutation('wgmma: output of the item before', wgmmaCompute, 'for (int i = 0; i < kHeadDim / 2; ++i) output[i] = 0.0f;', 'for (int i = 0; i < kHeadDim / 2; ++i) output[i] = turns.item.index() % 2 == 0 ? 0.0f : output[i];'),
  mutation('wgmma: maximum and sum of the item before', wgmmaCompute, 'softmax.maximum[0] = softmax.maximum[1] = kNegativeInfinity;\n                softmax.sum[0] = softmax.sum[1] = 0.0f;', 'if (turns.item.index() % 2 == 0) {\n                    softmax.maximum[0] = softmax.maximum[1] = kNegativeInfinity;\n                    softmax.sum[0] = softmax.sum[1] = 0.0f;\n                }'),
  mutation('wgmma: half a step\'s values computed whole', wgmmaCompute, 'multiplyValues<kPageTokens>(output, probabilities, turns.pending().index());', 'multiplyValues<kColumns>(output, probabilities, turns.pending().index());'),
  mutation('wgmma: output rescaled for the other row', wgmmaCompute, 'output[i] *= correction[i / 2 % 2];', 'output[i] *= correction[i % 2];'),
  mutation('wgmma: output rescaled where the first row has to be', wgmmaCompute, 'if (warpAny(correction[0] != 1.0f || correction[1] != 1.0f)) {', 'if (warpAny(correction[0] != 1.0f)) {'),
  mutation('wgmma: sum not rescaled to the new maximum', wgmmaCompute, 'float sum = softmax.sum[row] * correction[row];', 'float sum = softmax.sum[row];'),
  mutation('wgmma: rows without a score yet', wgmmaCompute, 'finiteMaximum(largest) * softmax.scale2;', 'largest * softmax.scale2;'),
  mutation('wgmma: maximum of half a row', wgmmaCompute, 'largest = quadMaximum(largest);', 'largest = larger(largest, shuffleXor(largest, 1));'),
  mutation('wgmma: wrong scale', wgmmaCompute, 'softmax.scale2 = scoreUnit<Config>(p) * kLog2e;', 'softmax.scale2 = scoreUnit<Config>(p);'),
  mutation('wgmma: probabilities of keys 2 and 3 exchanged with those of row 8', wgmmaCompute, 'packPair<Element>(scores[8 * i + 2 * part], scores[8 * i + 2 * part + 1])', 'packPair<Element>(scores[8 * i + 2 * (part >> 1 | (part & 1) << 1)], scores[8 * i + 2 * (part >> 1 | (part & 1) << 1) + 1])'),
  mutation('wgmma: row masked from its own key on', wgmmaCompute, 'if (j * 8 + e > last) scores', 'if (j * 8 + e >= last) scores'),
  mutation('wgmma: row masked behind the next key', wgmmaCompute, 'if (j * 8 + e > last) scores', 'if (j * 8 + e > last + 1) scores'),
  mutation('wgmma: mask of the first group\'s rows', wgmmaCompute, 'const int position = item.queryBlock * kRows + warpIndex() * 16 +', 'const int position = item.queryBlock * kRows + warpIndex() % 4 * 16 +'),
  mutation('wgmma: mask of the lane\'s first keys', wgmmaCompute, 'item, page, position).from(firstKey);', 'item, page, position);'),
  mutation('wgmma: mask of the first page for both', wgmmaCompute, 'const KeyPage page = half == 0 ? step.first : step.second;', 'const KeyPage page = step.first;'),
  mutation('wgmma: share of the other page', wgmmaRoom, 'flags >> (4 * group + 2 * half) & 3', 'flags >> (4 * group + 2 - 2 * half) & 3'),
  mutation('wgmma: share of the first group', wgmmaProducer, 'const int row = item.queryBlock * kRows + 64 * group;', 'const int row = item.queryBlock * kRows;'),
  mutation('wgmma: LSE of another row', wgmmaOutput, 'logSumExpOf<Config>(p, softmax.maximum[row], sum)', 'logSumExpOf<Config>(p, softmax.maximum[0], sum)'),
  mutation('wgmma: LSE of what one lane has seen', wgmmaOutput, 'float sum = quadSum(softmax.sum[row]);\n            const float weight', 'float sum = softmax.sum[row];\n            const float weight'),
  mutation('wgmma: row written past the sequence', wgmmaOutput, 'if (row >= rows) continue;', 'if (row > rows) continue;'),
  mutation('parts: sum of what one lane has seen', wgmmaOutput, 'const float sum = quadSum(softmax.sum[row]);\n            const int r', 'const float sum = softmax.sum[row];\n            const int r'),
  mutation('parts: maximum of another row', wgmmaOutput, 'Vec8{{floatBits(softmax.maximum[row]), floatBits(sum)}}', 'Vec8{{floatBits(softmax.maximum[0]), floatBits(sum)}}'),
  mutation('parts: output of the other row', wgmmaOutput, 'Vec8{{floatBits(output[at]), floatBits(output[at + 1])}}', 'Vec8{{floatBits(output[at ^ 2]), floatBits(output[at ^ 2 | 1])}}'),
  mutation('parts: one ticket for the warps of a block', wgmmaOutput, 'item.part / 2 * kComputeWarps + warpIndex();', 'item.part / 2 * kComputeWarps;'),
  mutation('parts: tickets of the first pair for all', wgmmaOutput, 'p.partTickets + item.part / 2 * kComputeWarps + warpIndex();', 'p.partTickets + warpIndex();'),
  mutation('parts: added by the first to end', wgmmaOutput, 'return shuffle(before, 0) != 0;', 'return shuffle(before, 0) == 0;'),
  mutation('parts: tickets that do not wrap', wgmmaOutput, 'atomicIncrementWrap(ticket, 1);', 'atomicIncrementWrap(ticket, 2);'),
  mutation('parts: the second for both', wgmmaOutput, 'partialOf(p, item.part & ~1)', 'partialOf(p, item.part)'),
  mutation('parts: the first for both', wgmmaOutput, 'partialOf(p, item.part | 1)', 'partialOf(p, item.part ^ 1)'),
  mutation('parts: all warps in one place', wgmmaOutput, '(static_cast<int64_t>(part) * kComputeWarps + warpIndex())', '(static_cast<int64_t>(part) * kComputeWarps)'),
  mutation('parts: weights exchanged', wgmmaOutput, 'bitsToFloat(u.w[i]) * weightA + bitsToFloat(v.w[i]) * weightB', 'bitsToFloat(u.w[i]) * weightB + bitsToFloat(v.w[i]) * weightA'),
  mutation('parts: output not rescaled', wgmmaOutput, 'bitsToFloat(u.w[i]) * weightA + bitsToFloat(v.w[i]) * weightB', 'bitsToFloat(u.w[i]) + bitsToFloat(v.w[i])'),
  mutation('parts: sum not rescaled', wgmmaOutput, 'bitsToFloat(a.w[1]) * weightA + bitsToFloat(b.w[1]) * weightB', 'bitsToFloat(a.w[1]) + bitsToFloat(b.w[1])'),
  mutation('parts: maximum and sum of the first for both', wgmmaOutput, 'reinterpret_cast<const Vec8*>(second + 16 * kHeadDim', 'reinterpret_cast<const Vec8*>(first + 16 * kHeadDim'),
  mutation('parts: LSE from the first\'s maximum', wgmmaOutput, 'logSumExpOf<Config>(p, largest, sum)', 'logSumExpOf<Config>(p, bitsToFloat(a.w[0]), sum)'),
  mutation('parts: row written past the sequence', wgmmaOutput, 'if (position >= item.length) break;', 'if (position > item.length) break;'),
  mutation('parts: the item\'s whole walk for each', wgmmaProducer, 'pages.at(item.firstPage + number)', 'pages.at(number)'),

  // Prefill on Hopper: the producer
  mutation('wgmma: K copied over what is read', wgmmaProducer, 'mbarrierWait(emptyKey(turn.index()), turn.parity() ^ 1);', ''),
  mutation('wgmma: V copied over what is read', wgmmaProducer, 'mbarrierWait(emptyValue(turn.index()), turn.parity() ^ 1);', ''),
  mutation('wgmma: queries copied over what is read', wgmmaProducer, 'mbarrierWait(emptyQuery(query.index()), query.parity() ^ 1);', ''),
  mutation('wgmma: wrong parity for room for K', wgmmaProducer, 'mbarrierWait(emptyKey(turn.index()), turn.parity() ^ 1);', 'mbarrierWait(emptyKey(turn.index()), turn.parity());'),
  mutation('wgmma: wrong parity for room for V', wgmmaProducer, 'mbarrierWait(emptyValue(turn.index()), turn.parity() ^ 1);', 'mbarrierWait(emptyValue(turn.index()), 1);'),
  mutation('wgmma: wrong parity for room for queries', wgmmaProducer, 'mbarrierWait(emptyQuery(query.index()), query.parity() ^ 1);', 'mbarrierWait(emptyQuery(query.index()), query.parity());'),
  mutation('wgmma: parity for room for queries not flipped', wgmmaProducer, 'mbarrierWait(emptyQuery(query.index()), query.parity() ^ 1);', 'mbarrierWait(emptyQuery(query.index()), 1);'),
  mutation('wgmma: parity not flipped when stages go round', wgmmaRoom, 'index_ = 0;\n            parity_ ^= 1;', 'index_ = 0;'),
  mutation('wgmma: room for K by one group alone', wgmmaRoom, 'mbarrierInit(emptyKey(stage), kComputeWarps);', 'mbarrierInit(emptyKey(stage), 4);'),
  mutation('wgmma: room for V by one group alone', wgmmaRoom, 'mbarrierInit(emptyValue(stage), kComputeWarps + kScanThreads);', 'mbarrierInit(emptyValue(stage), 4 + kScanThreads);'),
  mutation('wgmma: room for queries by one group alone', wgmmaRoom, 'mbarrierInit(emptyQuery(stage), kComputeWarps);', 'mbarrierInit(emptyQuery(stage), 4);'),
  mutation('wgmma: room for an item by one group alone', wgmmaRoom, 'mbarrierInit(emptyItem(slot), kComputeWarps);', 'mbarrierInit(emptyItem(slot), 4);'),
  mutation('wgmma: bytes of a whole step expected of half a one', wgmmaProducer, '(fillsTile ? 2 : 1) * kBlocks * kPageBlockBytes', '2 * kBlocks * kPageBlockBytes'),
  mutation('wgmma: bytes of half a step expected of a whole one', wgmmaProducer, '(fillsTile ? 2 : 1) * kBlocks', '(pages.second.exists() ? 2 : 1) * kBlocks'),
  mutation('wgmma: bytes of one block expected', wgmmaProducer, '(fillsTile ? 2 : 1) * kBlocks * kPageBlockBytes', '(fillsTile ? 2 : 1) * kPageBlockBytes'),
  mutation('wgmma: bytes of one group\'s queries expected', wgmmaProducer, 'mbarrierArriveExpect(full, kQueryBytes);', 'mbarrierArriveExpect(full, kBlocks * kPageBlockBytes);'),
  mutation('wgmma: nothing stands in for a page', wgmmaRoom, 'return second.exists() || (flags & kBegins) != 0;', 'return second.exists();'),
  mutation('wgmma: queries of the item\'s first rows for all groups', wgmmaProducer, 'item.firstToken + item.queryBlock * kRows + 64 * group, item.head', 'item.firstToken + item.queryBlock * kRows, item.head'),
  mutation('wgmma: second block of queries behind the first page', wgmmaProducer, 'to + block * kQueryBlockBytes + group * kQueryGroupBytes, p.queryMap', 'to + block * kPageBlockBytes + group * kBlocks * kPageBlockBytes, p.queryMap'),
  mutation('wgmma: queries of another KV head\'s group', wgmmaProducer, 'item.head * kHeadDim + block * kBlockColumns, full)', 'item.head / Config::groupSize(p) * kHeadDim + block * kBlockColumns, full)'),
  mutation('wgmma: wrong KV head', wgmmaProducer, 'item.head / Config::groupSize(p) * kHeadDim, item.pages', 'item.head % (Config::queryHeads(p) / Config::groupSize(p)) * kHeadDim, item.pages'),
  mutation('wgmma: column of the query head', wgmmaProducer, 'item.head / Config::groupSize(p) * kHeadDim, item.pages', 'item.head * kHeadDim, item.pages'),
  mutation('wgmma: keys from the batch\'s first token on', wgmmaProducer, 'map, place.firstToken + page.code * kPageTokens, place.column', 'map, page.code * kPageTokens, place.column'),
  mutation('wgmma: blocks of a ring page one after the other', wgmmaProducer, 'bulkCopy(to + block * kKeyBlockBytes, from', 'bulkCopy(to + block * kPageBlockBytes, from'),
  mutation('wgmma: keys of the ring in place of values', wgmmaProducer, 'p.valueMap, kBlocks * kPageBlockBytes, to,', 'p.valueMap, 0, to,'),
  mutation('wgmma: ring page of the first half of a step for both', wgmmaProducer, 'shuffle(found.number, lane + 1)', 'shuffle(found.number, lane)'),
  mutation('wgmma: ring of the first sequence', wgmmaProducer, 'loadGlobal(p.pageTable + item.tableOffset + found.ringPage())', 'loadGlobal(p.pageTable + found.ringPage())'),
  mutation('wgmma: values of the step to come', wgmmaProducer, 'copyValues(p, place, found, page, scans, flags, value, scan);\n                }', 'copyValues(p, place, found, page + 2, scans, flags, value, scan);\n                }'),
  mutation('wgmma: keys of a step too far', wgmmaProducer, 'copyKeys(p, place, found, page + kTilePages, scans, flags, key);', 'copyKeys(p, place, found, page + 4, scans, flags, key);'),
  mutation('wgmma: each lane looks up the page of the next', wgmmaProducer, 'page + laneIndex());', 'page + 1 + laneIndex());'),
  mutation('wgmma: the second page of a step is the first', wgmmaProducer, 'KeyPage{shuffle(found.code, lane + 1)}', 'KeyPage{shuffle(found.code, lane)}'),
  mutation('wgmma: always the first 32 pages', wgmmaProducer, 'look(p, at, from)', 'look(p, at, 0)'),
  mutation('wgmma: pages past 32 among the first 32', wgmmaProducer, 'page + kTilePages < minimum(from + 32, place.pages)', 'page + 2 < place.pages'),
  mutation('wgmma: queries copied again after 32 pages', wgmmaProducer, 'if (!kHoldsQueries && from == 0) {', 'if (!kHoldsQueries) {'),
  mutation('wgmma: the last step but one is the last', wgmmaProducer, 'page + kTilePages >= place.pages ?', 'page + 4 >= place.pages ?'),
  mutation('wgmma: no step is the last where pages are even', wgmmaProducer, 'page + kTilePages >= place.pages ?', 'page + 2 > place.pages ?'),
  mutation('wgmma: a group of a few rows does not begin', wgmmaProducer, 'ceilDivide(item.length - item.queryBlock * kRows, 64))', '(item.length - item.queryBlock * kRows) / 64)'),
  mutation('wgmma: no end is told', wgmmaProducer, 'Vec16{{0, 0, PrefillStep::kEnd, 0}}', 'Vec16{}'),
  mutation('wgmma: the end told over a step in use', wgmmaProducer, 'mbarrierWait(emptyKey(key.index()), key.parity() ^ 1);\n        if (laneIndex() == 0) {\n            storeShared', 'if (laneIndex() == 0) {\n            storeShared'),
  mutation('wgmma: queries copied over keys that are read', wgmmaProducer, 'mbarrierWait(emptyKey(key.index()), key.parity() ^ 1);\n                if', 'if'),
  mutation('wgmma: rows without a token kept', wgmmaScan, 'storeShared(at, Vec16{});', ''),
  mutation('wgmma: rows without a token kept in the second page', wgmmaProducer, 'fillsTile ? others : 0', 'fillsTile ? kPageTokens : 0'),
  mutation('wgmma: a row too many is cleared', wgmmaScan, 'row < entry.first() ? 1 : 0', 'row < entry.first() - 1 ? 1 : 0'),
  mutation('wgmma: rows cleared as of a tile of one page', wgmmaScan, 'holds(entry, index / kRowChunks % kColumns);\n            const', 'holds(entry, index / kRowChunks % kPageTokens);\n            const'),
  mutation('wgmma: rows cleared before they land', wgmmaScan, 'mbarrierWait(landed(turn.index()), turn.parity());', ''),
  mutation('wgmma: the scan queue stands still', wgmmaScan, 'turn.advance();\n            if (entry', 'if (entry'),
  mutation('wgmma: no fence behind what was cleared', wgmmaScan, 'asyncProxyFence();  // for rows that became zeros', ''),
  mutation('wgmma: values shown before all warps have scanned', wgmmaScan, 'namedBarrier(kBarrier, kScanThreads);', ''),

  // Values that are not finite
  mutation('wgmma: only tiles of which both pages are cut are scanned', wgmmaProducer, '(first | (pages.second.exists() ? second : 0))', '(first & (pages.second.exists() ? second : first))', excluded),
  mutation('wgmma: only the first group asks for a scan', wgmmaProducer, 'constexpr int kShares = 0x333;', 'constexpr int kShares = 0x003;', excludedPages),
  mutation('wgmma: the scan finds nothing', wgmmaScan, 'addTimesZero<Element>(sums[word % 2], chunks[i].w[word])', 'sums[word % 2]', excluded),
  mutation('wgmma: one warp of three scans', wgmmaScan, 'laneIndex() < kScanWarps', 'laneIndex() < 1', excluded),
  mutation('wgmma: values that are not finite are kept', wgmmaScan, 'if (marks != 0) storeShared(at, chunk);', '', excluded),
  mutation('wgmma: no fence behind what was cleaned', wgmmaScan, 'mark(marked, tile, entry);\n                    asyncProxyFence();', 'mark(marked, tile, entry);', excluded),
  mutation('wgmma: marks of the last columns alone', wgmmaScan, 'found |= marks;', 'found = marks;', spoiledRows),
  mutation('wgmma: marks of another tile are kept', wgmmaScan, 'storeShared(marks(entry.stage()), marked);', 'if (marked.w[0] != 0) storeShared(marks(entry.stage()), marked);', excluded),
  mutation('wgmma: marks of the first keys alone', wgmmaCompute, 'marked.w[step / 2]', 'marked.w[0]', spoiledRows),
  mutation('wgmma: marks of a row further on', wgmmaScan, '<< laneIndex();', '<< (laneIndex() + 1);', spoiledRows),
  mutation('wgmma: a tile that nobody scans never makes room', wgmmaProducer, 'mbarrierArriveMany(emptyValue(turn.index()), kScanThreads);  // nobody scans it', ''),
  mutation('wgmma: a tile makes room twice', wgmmaProducer, 'if (scanned) scan.advance();', 'if (scanned) scan.advance(), mbarrierArriveMany(emptyValue(turn.index()), 1);'),
  mutation('wgmma: outputs are not spoiled', wgmmaCompute, 'if (weight[2] > 0.0f) softmax.sum[1] = kNotANumber;', '', spoiledRows),
  mutation('wgmma: outputs are not spoiled by the last tile', wgmmaCompute, 'if (whole) {\n                spoil<kColumns>(softmax, probabilities, turns);', 'if (whole) {', spoiledRows),
  mutation('wgmma: a step that is skipped leaves marks unread', wgmmaCompute, 'turns.scanned = step.isScanned();', 'turns.scanned = false;', spoiledRows),
  mutation('wgmma: outputs are taken as finite', wgmmaCompute, 'found && laneIndex() == 0', 'false', excluded),
  mutation('wgmma: outputs of half a row are looked at', wgmmaOutput, 'word < 4; ++word) zeros[word % 2]', 'word < 2; ++word) zeros[word % 2]', spoiledRows),
  mutation('wgmma: a row that is not finite is looked at alone', wgmmaOutput, 'warpAny(!isFinite(item, output))', '!isFinite(item, output)', spoiledRows),
  mutation('wgmma: parts are taken as finite', wgmmaOutput, 'if (kChecks && warpAny(!isFinite(item, output))) return true;', '', spoiledRows),
  mutation('wgmma: a part is stored by all warps again', wgmmaCompute, 'if (warpAny(stored != 0)) Output', 'Output', excluded),
  mutation('wgmma: items come again for the warps of another', wgmmaProducer, 'loadShared<int>(notFinite(next.index(), warps)));', 'loadShared<int>(notFinite(to.index(), warps)));', excluded),
  mutation('wgmma: items are not computed again', wgmmaProducer, 'again = collect(slot);', 'collect(slot);', excluded),
  mutation('wgmma: one item is computed again', wgmmaProducer, 'return found;', 'return minimum(found, 1);', excluded),
  mutation('wgmma: items are looked at before they are computed', wgmmaProducer, 'mbarrierWait(emptyItem(next.index()), next.parity() ^ 1);', '', excluded),
  mutation('wgmma: the first warps alone are asked', wgmmaProducer, 'laneIndex() < kComputeWarps / 4 && loadShared', 'laneIndex() < 1 && loadShared', excluded),
  mutation('wgmma: the second pass scans nothing', wgmmaProducer, 'scans ? entry.word : entry.word | ScanEntry::kOnlyRows', 'entry.word | ScanEntry::kOnlyRows', excluded),
  mutation('wgmma: the end of the first pass is not passed by', wgmmaCompute, '        }\n        releaseKeys(turns);\n    }', '        }\n    }', excluded),
  mutation('finite: lower elements are always', finite, 'kStep = 0x00800080u', 'kStep = 0x00800000u', excluded),
  mutation('finite: upper elements are always', finite, 'kStep = 0x00800080u', 'kStep = 0x00000080u', excluded),
  mutation('finite: upper elements are not marked', finite, '(bits >> 30 & 2)', '(bits >> 30 & 0)', spoiledRows),
  mutation('finite: marks of the other keys', finite, 'mark(8) | mark(9) << 16', 'mark(0) | mark(1) << 16', spoiledRows),
  mutation('prefill: an item that is spoiled is not computed again', prefill, 'if (allFinite(output) || careful) break;', 'break;', excluded),
  mutation('prefill: values are not cleaned the second time', prefill, 'if (careful) markValues(sharedV);', '', excluded),
  mutation('prefill: outputs are not spoiled', prefill, 'if (careful) spoil(output, probabilities);', '', spoiledRows),
  mutation('prefill: a warp looks at its own outputs alone', prefill, 'any |= loadShared<int>(sharedBase() + kSpoiled + 4 * warp)', 'any = loadShared<int>(vote)', excluded),
  mutation('decode: values of a page that heads share are taken as finite', attend, 'differ && hasNonFinite(values)', 'false', excluded),
  mutation('decode: no page differs among heads', ages, 'applyAge(scores, item.page, row0);\n                return true;', 'applyAge(scores, item.page, row0);\n                return false;', excluded),
  mutation('decode on cores: masked values are multiplied', fmaAttend, 'if (probability == 0.0f) continue;', '', excludedOnCores),
  mutation('decode on cores: a head raises the maxima of others', fmaAttend, '(largest - maximum_) * unit2() > kLazyLog2 ? largest : maximum_', 'larger(maximum_, largest)', excludedOnCores),
  mutation('E4M3: an infinite element is 448', 'templates/include/moa/e4m3.cuh', '(bits & 0x8000u) != 0 ? 0x7fu : encodeE4m3', 'encodeE4m3', spoiledRows8),
  mutation(
    'wgmma: tickets that wrap one too late',
    wgmmaProducer,
    'static_cast<uint32_t>(count - 1)',
    'static_cast<uint32_t>(count)',
  ),
  mutation(
    'wgmma: a ticket more than there are items',
    wgmmaProducer,
    'return index < count ? atomicIncrementWrapRelaxed',
    'return index <= count ? atomicIncrementWrapRelaxed',
  ),
  mutation('wgmma: items behind those of all blocks but one', wgmmaProducer, 'gridSize() + static_cast<int>(shuffle(ticket, 0))', 'gridSize() - 1 + static_cast<int>(shuffle(ticket, 0))'),
  mutation(
    'wgmma: reads an item too many',
    wgmmaProducer,
    'index >= loadGlobal(p.itemCount)',
    'index > loadGlobal(p.itemCount)',
  ),
  mutation(
    'wgmma: the last item left out',
    wgmmaProducer,
    'index >= loadGlobal(p.itemCount)',
    'index >= loadGlobal(p.itemCount) - 1',
  ),

  // Work items of prefill, and chunks
  mutation(
    'prefill items: cached tokens of the first sequence',
    prefillPlan,
    'result.cached = own.cached;',
    'result.cached = tokens().load(0).cached;',
    prefillPlans,
  ),
  mutation(
    'prefill items: ring of the first KV head',
    prefillPlan,
    'in_.rings + (sequence.slot * in_.kvHeads + kvHead)',
    'in_.rings + sequence.slot * in_.kvHeads',
  ),
  mutation(
    'prefill items: a ring as long as the head\'s window',
    prefillPlan,
    'result.ringWindow = ring.window;',
    'result.ringWindow = result.window;',
  ),
  mutation(
    'prefill items: a section takes a unit too many',
    prefillPlan,
    'ends.store(begin, to);',
    'ends.store(begin, minimum(to + 1, units_));',
    prefillPlans,
  ),
  mutation(
    'prefill items: the cheapest do not come last',
    prefillPlan,
    'front = count() - tailOf(scratch_.numbers(sorted));',
    'front = count();',
    prefillPlans,
  ),
  mutation(
    'prefill items: the last rows of a sequence left out',
    prefillPlan,
    'quotient(own.length + in_.rows - 1, in_.rows)',
    'maximum(1, quotient(own.length, in_.rows))',
    prefillPlans,
  ),
  mutation(
    'prefill: the plan of the chunk before',
    stepPlans,
    'planned?.lengths === lengths && planned.as === as',
    'planned !== undefined && planned.as === as',
  ),
  mutation(
    'prefill: the items of the first class for all layers',
    prefillRoom,
    'BigInt(index * this.#capacity * PrefillItem.bytes)',
    '0n',
  ),
  mutation('chunks: written before they are attended', packedCalls, 'if (needs.goesOn) {', 'if (needs.items < 0) {'),
  mutation(
    'chunks: looked for in the last sequence alone',
    prefillRoom,
    'goesOn ||= cached > 0;',
    'goesOn = cached > 0;',
    sequencesTest,
  ),
  mutation('chunks: turned twice', launches, 'this.#append(state, state.appendRotated, tensors', 'this.#append(state, state.append, tensors'),
  mutation('chunks: not turned', packedCalls, 'launches.rotate(state, tensors, rows, cuSeqlens, fewest);', ''),
  mutation(
    'chunks: written when they are turned',
    launches,
    'cuSeqlens, pool: 0n, counts: 0n, fewest }',
    'cuSeqlens, pool: this.#buffers.pool.address, counts: 0n, fewest }',
  ),
  mutation(
    'grids: more blocks than items',
    'src/kernels/grids.ts',
    'min(items, multiply(multiprocessors, blocksPerSm))',
    'multiply(multiprocessors, blocksPerSm)',
  ),

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
  mutation('append: window one too small', append, 'position >= newLength - window);', 'position > newLength - window);'),
  mutation('append: overwritten tokens are written too', append, 'const bool kept = p.pool != nullptr && (position < Config::kSink || position >= newLength - window);', 'const bool kept = p.pool != nullptr;'),
  mutation('append: lengths not advanced', append, 'storeGlobal(p.lengths + slot, length + added)', 'storeGlobal(p.lengths + slot, length)'),
  mutation('append: lengths advanced without a pool', append, 'if (p.pool != nullptr) advanceLengths(p);', 'advanceLengths(p);'),
  mutation('append: a chunk\'s tokens at the start of the sequence', append, 'const int position = length + token - first;', 'const int position = token - first;'),
  mutation('append: a chunk\'s own length for the sequence\'s', append, 'position, length + end - first, thread);', 'position, end - first, thread);'),
  mutation('append: written without a pool', append, 'const bool kept = p.pool != nullptr && (', 'const bool kept = ('),
  mutation('append: lengths advanced by the first block', append, 'if (loadShared<uint32_t>(sharedBase()) != static_cast<uint32_t>(gridSize() - 1)) return;', 'if (loadShared<uint32_t>(sharedBase()) != 0u) return;'),
  mutation('append: values in place of keys', append, '(isValue ? Cache::kHalfBytes : 0)', '(isValue ? 0 : Cache::kHalfBytes)'),
  mutation('append: sequence found one too early', append, 'if (loadGlobal(p.cuSeqlens + middle) <= token) {', 'if (loadGlobal(p.cuSeqlens + middle) < token) {'),
  mutation('RoPE: keys enter the cache unturned', append, 'if (!isValue) {\n                Rotation', 'if (!isValue && position > 1) {\n                Rotation', positions),

  // RoPE
  mutation('RoPE: wrong sign', rotate, 'multiplyAdd(y0, cos0, multiply(x0, sin0))', 'multiplyAdd(y0, cos0, -multiply(x0, sin0))', positions),
  mutation('RoPE: the angles of another pair', rotate, 'angles(chunk * 8 + 2 * word));', 'angles((chunk ^ 1) * 8 + 2 * word));', positions),
  mutation('RoPE: the frequency of another pair', rotate, 'fine.w[2], fine.w[3], frequency.w[1])', 'fine.w[2], fine.w[3], frequency.w[0])', positions),
  mutation('RoPE: another block', rotate, '(position >> p.ropeShift) * 2 * kPairs', '((position >> p.ropeShift) ^ 1) * 2 * kPairs', positions),
  mutation('RoPE: another place in the block', rotate, '(position & ((1 << p.ropeShift) - 1))', '(position & ((1 << p.ropeShift) - 2))', positions),
  mutation('RoPE: the difference of angles', rotate, 'multiplyAdd(cosC, cosF, -multiply(sinC, sinF))', 'multiplyAdd(cosC, cosF, multiply(sinC, sinF))', positions),
  mutation('RoPE: angles that are not rounded', rotate, 'multiplyAdd(position_, frequency, -rounded)', '0.0f * multiplyAdd(position_, frequency, -rounded)', positions),
  mutation('RoPE: rounded to the other side', rotate, 'multiply(error, multiplyAdd(square, -1.0f / 6.0f, 1.0f))', 'multiply(-error, multiplyAdd(square, -1.0f / 6.0f, 1.0f))', positions),
  mutation('RoPE: rounding to the first order', rotate, 'multiplyAdd(square, -0.5f, 1.0f)', '1.0f + 0.0f * square', farPositions),
  mutation('RoPE: all of a head turns', rotate, '} else if (kRotaryChunks == kHeadChunks || thread < kRotaryChunks / 2) {', '} else if (thread >= 0) {', partOfHead),
  mutation('RoPE: what does not turn lies elsewhere', rotate, '(turns ? kRotaryChunks : kHeadChunks - kRotaryChunks) / 2;', '(turns ? kRotaryChunks : kRotaryChunks) / 2;', partOfHead),
  mutation('RoPE: all neighbours turn', rotate, 'if (chunk >= kRotaryChunks) return;\n#pragma unroll\n        for (int word = 0; word < 4; word += 2)', '#pragma unroll\n        for (int word = 0; word < 4; word += 2)', neighbours),
  mutation('decode RoPE: angles of the lane itself', rotate, 'shuffle(held_[0].w[word], pair / 2 % 32)', 'held_[0].w[word]'),
  mutation('RoPE: neighbours with the angle of the pair before', rotate, 'rotatePair(row.w[word + 1], {{turns.w[2], turns.w[3]}});', 'rotatePair(row.w[word + 1], {{turns.w[0], turns.w[1]}});', neighbours),
  mutation('RoPE: neighbours the other way', rotate, 'multiplyAdd(x, cosine, -multiply(y, sine))', 'multiplyAdd(x, cosine, multiply(y, sine))', neighbours),
  mutation('RoPE: no attention factor', ropeTables, 'inverseFrequencies, block, attentionFactor)', 'inverseFrequencies, block, 1)', attentionFactor),
  mutation(
    'RoPE: all layers by one table',
    sessionBuffers,
    'rotation === null ? 0n : ropes[rotation]!.address',
    'rotation === null ? 0n : ropes[0]!.address',
    ropeOptions,
  ),
  mutation('RoPE: layers without it are turned', rope, 'if (ropes !== undefined && ropeOfLayer(definition, layer) === null) return null;', '', ropeOptions),
  mutation('RoPE on CUDA cores: the partner of another chunk', fmaAttend, 'const int partner = Rotation<Config>::partner(chunk);', 'const int partner = Rotation<Config>::partner(chunk ^ 1);', partOnCores),
  mutation('RoPE on CUDA cores: the low half in place of the high', rotate, 'own[row].w[word] = isLow ? low : high;', 'own[row].w[word] = low;', partOnCores),

  // Expanded pages
  mutation(
    'expand: nothing',
    launches,
    'if (expanded !== undefined) this.#expand(state, cuSeqlens, expanded.pool);',
    '',
  ),
  mutation(
    'expand: one page too few',
    expand,
    'pagesInUse(length, static_cast<int>(words.w[1]));',
    'pagesInUse(length, static_cast<int>(words.w[1])) - 1;',
  ),
  mutation(
    'expand: pages of a ring begin with the last of the ring before',
    expand,
    'expandPage(p, kvHead, entry + page)',
    'expandPage(p, kvHead, maximum(0, entry + page - 1))',
  ),
  mutation('expand: the first pages of the pool', expand, 'loadGlobal(p.pageTable + entry)', 'entry'),
  mutation(
    'expand: values at the scale of keys',
    expand,
    'From::valueScale(p, kKvHeads, kvHead)',
    'From::keyScale(p, kvHead)',
  ),
  mutation(
    'expand: scales of the first KV head',
    expand,
    'store(to, keys, From::keyScale(p, kvHead));',
    'store(to, keys, From::keyScale(p, 0));',
  ),
  mutation('expand: keys in place of values', expand, 'load(values, from + From::kHalfBytes);', 'load(values, from);'),
  mutation('expand: pages as they lie in the pool', expand, 'To::chunkOffset(index / kRowChunks, index % kRowChunks)', '2 * From::chunkOffset(index / kRowChunks, index % kRowChunks)'),
  mutation('expand: two bytes twice', e4m3, 'decodeE4m3(bytes.w[word / 2] >> word % 2 * 16)', 'decodeE4m3(bytes.w[word / 2])'),
  mutation('expand: past the largest number is infinite', e4m3, 'finite(unpackHigh<Half>(pair) * factor)', 'unpackHigh<Half>(pair) * factor'),
  mutation(
    'expand: items look for pages in the pool\'s table',
    launches,
    'pageTable: expanded?.pageTable ?? state.pageTable',
    'pageTable: state.pageTable',
  ),

  // Decode: the new token
  mutation('new token: left out of a full page', decode, 'item.rows < kPageTokens || token.isIn(item.page)', 'item.rows < kPageTokens'),
  mutation('new token: the row in shared memory left stale', newToken, 'storeShared(to + Cache::chunkOffset(row_, isValue ? high : low), isValue ? high_ : low_);', ''),
  mutation('new token: patched into every page', newToken, 'if (page != page_) return false;', 'if (page_ < 0) return false;'),
  mutation('new token: half of it into the ring', newToken, 'storeGlobal(reinterpret_cast<Chunk*>(ring_ + Cache::chunkOffset(row_, high)), high_);', ''),
  mutation('new token: by the warp of other rows', newToken, 'row_ / 16 * 16 != warpRow', 'row_ / 16 * 16 != (warpRow ^ 16)'),
  mutation('new token: values over keys', newToken, '(isValue ? Cache::kHalfBytes : 0);\n    }', '0;\n    }'),
  mutation('new token: slot of the token before', newToken, 'slotOf(length - 1, segment.window)', 'slotOf(maximum(0, length - 2), segment.window)'),
  mutation('new token: key of another KV head', newToken, '* Config::kvHeads(p) + segment.kvHead;\n        const Vec16*', '* Config::kvHeads(p);\n        const Vec16*'),
  mutation('decode RoPE: key turned one position late', newToken, 'if (!isValue) Rotation<Config>(p, position).rotate', 'if (!isValue) Rotation<Config>(p, position + 1).rotate', positions),
  mutation('decode RoPE: value turned too', newToken, 'if (!isValue) Rotation', 'Rotation', partOfHead),
  mutation('decode RoPE: query with the wrong partner', newToken, 'queries[tile][(n + kPartner) / 2][(n + kPartner) % 2], turns', 'queries[tile][(n + kPartner) / 2][(n + kPartner + 1) % 2], turns', partOfHead),
  mutation('decode RoPE: query with the angles of another pair', newToken, 'held.angles(column)', 'held.angles(column ^ 2)', partOfHead),
  mutation('decode RoPE: neighbours with the angle of another pair', newToken, 'held.angle(column / 2)', 'held.angle(column / 2 ^ 1)', neighbours),
  mutation('decode: queries of another KV head', newToken, 'p.q + QueryRows<Config>::place(p, segment, member) *', 'p.q + (QueryRows<Config>::place(p, segment, member) - segment.kvHead * (Config::groupSize(p) - 1)) *'),

  // Decode: lengths
  mutation('decode: lengths advanced while others read them', decode, 'if (shuffle(finished, 0) != static_cast<uint32_t>(gridSize() * readers - 1)) return;', 'if (shuffle(finished, 0) != 0u) return;'),
  mutation(
    'decode: blocks without work clear the rows of a slot',
    decode,
    'if (segment.runs > 0) clearRows(p, segment.slot);',
    'clearRows(p, segment.slot);',
  ),
  mutation('decode: lengths not advanced', decode, 'storeGlobal(p.lengths + slot, length + 1)', 'storeGlobal(p.lengths + slot, length)'),
  mutation('decode: counts one reader too few', decode, 'advanceLengths(p, Config::kWarps);', 'advanceLengths(p, Config::kWarps - 1);'),
  mutation('decode: attends the old tokens alone', walker, 'return loadGlobal(p.lengths + slot) + 1;', 'return maximum(1, loadGlobal(p.lengths + slot));'),

  // Decode: launches that overlap
  mutation('launches: reads early what the launch before wrote', decode, 'if (p.early == 0) waitForPrerequisites();', ''),
  mutation(
    'launches: the session allows early reads of its own layer',
    stepPlans,
    'this.#lastWritten !== layer && this.#lastWritten !== \'all\'',
    'this.#lastWritten !== \'all\'',
    earlyReads,
  ),
  mutation(
    'launches: compute does not wait',
    decode,
    'waited = true;\n                        waitForPrerequisites();',
    'waited = true;',
  ),
  mutation('launches: the producer does not wait', decode, '[] {\n                    waitForPrerequisites();\n', '[] {\n'),
  mutation('launches: dependents let go before the wait', decode, 'waitForPrerequisites();\n                    launchDependents();', 'launchDependents();\n                    waitForPrerequisites();'),

  // Decode: pages, a warp for itself
  mutation('cp.async: waits for one page too few', cpAsyncPages, 'cpAsyncWait<kStages - 2>();', 'cpAsyncWait<kStages - 1>();'),
  mutation('cp.async: copies into the page in use', cpAsyncPages, 'start(p, stage_ == 0 ? kStages - 1 : stage_ - 1);', 'start(p, stage_);'),
  mutation('cp.async: rows without a token are copied', cpAsyncPages, 'Cache::rowAt(first + step * 512) < rows);', 'true);'),
  mutation('cp.async: a row too few is copied', cpAsyncPages, 'Cache::rowAt(first + step * 512) < rows);', 'Cache::rowAt(first + step * 512) + 1 < rows);'),
  mutation('cp.async: groups take the same pages', cpAsyncPages, 'static MOA_DEVICE int offset() { return warpIndex() / 4; }', 'static MOA_DEVICE int offset() { return 0; }'),
  mutation('pages: the last of a segment is not known', walker, 'const bool last = page_ + Config::kGroups >= itemEnd_;', 'const bool last = page_ + Config::kGroups > itemEnd_;'),
  mutation(
    'pages: a group without pages gets no item',
    walker,
    'ceilDivide(maximum(firstEnd_, segmentEnd_), Config::kGroups) * Config::kGroups',
    'segmentEnd_',
  ),
  mutation(
    'pages: the first of a segment for one group only',
    walker,
    'firstEnd_ = base_ + Config::kGroups;',
    'firstEnd_ = base_ + 1;',
  ),
  mutation('pages: no segment is empty', walker, '(empty() ? PageItem::kEmpty : 0) |', '0 |'),
  mutation(
    'pages: the last of a segment is none',
    walker,
    '(empty() ? PageItem::kEmpty : 0) |',
    '(page_ + 1 >= segmentEnd_ ? PageItem::kEmpty : 0) |',
  ),
  mutation(
    'pages: numbers of pages one too far ahead',
    walker,
    'numbers_ = loadNumbers(p, base_);',
    'numbers_ = loadNumbers(p, base_ + 1);',
  ),
  mutation(
    'pages: the last segment left out',
    walker,
    '(last && closes && next_ < 0 ? PageItem::kFinal : 0)',
    '(last && closes ? PageItem::kFinal : 0)',
  ),

  // Decode: pages in bulk
  mutation('halves: no wait for keys', cpAsyncHalves, 'cpAsyncWait<1>();\n        warpBarrier();  // the warp\'s keys', 'warpBarrier();  // the warp\'s keys'),
  mutation('halves: no wait for values', cpAsyncHalves, 'startKeys(p);\n        cpAsyncWait<1>();', 'startKeys(p);'),
  mutation('halves: the new value written where a copy is under way', decode, 'if constexpr (Pages::kByHalves) pages.waitForValues();', ''),
  mutation('halves: keys copied to where values belong', cpAsyncHalves, '(firstBlock + block) * Cache::kBlockBytes', 'block * Cache::kBlockBytes'),
  mutation('halves: rows without a token are copied', cpAsyncHalves, 'Cache::rowAt(first + step * 512) < walker_.rows()', 'true'),
  mutation('halves: the next item written over the one at hand', cpAsyncHalves, 'walker_.advance(p);\n        return', 'walker_.advance(p);\n        if (!walker_.done()) walker_.writeItem(item_);\n        warpBarrier();\n        return'),
  mutation('halves: keys not passed by where there is no page', decode, '} else if constexpr (Pages::kByHalves) {\n                pages.releaseKeys(p);', '} else if constexpr (Pages::kByHalves) {'),
  mutation('merge: second columns of a lane where the first lie', merge, 'storeShared(row + (column + v * 32 * kVectorColumns) * 4, words);', 'storeShared(row + column * 4, words);'),
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
  mutation('decode: no age mask', ages, 'mayForbid(item.page)) {', 'mayForbid(item.page) && false) {'),
  mutation('decode: age mask of the wrong head', ages, 'segment.slot * Config::queryHeads(p) + QueryRows<Config>::head(p, segment, member))', 'segment.slot * Config::queryHeads(p) + member)'),
  mutation('decode: age mask one step old', ages, '-1 : length - 1 - age;', '-1 : length - 2 - age;'),
  mutation('decode: page of the newest token not masked by age', ages, 'return holdsNewest || RingGeometry::ageOf', 'return RingGeometry::ageOf'),
  mutation('decode: page with one token too old not masked', ages, '>= shortest_;', '> shortest_;'),
  mutation('decode: wrong scale', attend, 'scale2_ = p.scale * Cache::keyScale(p, segment.kvHead) * kLog2e;', 'scale2_ = p.scale * Cache::keyScale(p, segment.kvHead);'),
  mutation('decode: probabilities not transposed', attend, 'const uint32_t low = transposeMatrix(packPair<Operand>(scores[tile][0], scores[tile][1]));', 'const uint32_t low = packPair<Operand>(scores[tile][0], scores[tile][1]);'),
  mutation('decode: one chain of K Q^T lost', attend, 'scores[tile][e] = sums[0][tile][e] + sums[1][tile][e];', 'scores[tile][e] = sums[0][tile][e];'),
  mutation('decode: maximum of the warp not raised by all', attend, 'if (!warpAny(passed || asked)) return true;', 'if (!passed) return true;'),
  mutation('decode: output not rescaled to the new maximum', attend, 'output_[tile][j][e] *= correction[e & 1];', 'output_[tile][j][e] *= j == 0 ? 1.0f : correction[e & 1];'),
  mutation('decode: sum of half the lanes', attend, 'value += shuffleXor(value, 4);', ''),

  // Decode: merges
  mutation('decode: a warp left out of the merge', merge, 'for (int part = 0; part < kWarps; ++part) {\n                const Vec8 columns', 'for (int part = 1; part < kWarps; ++part) {\n                const Vec8 columns'),
  mutation('decode: parts merged without weights', merge, 'return exp2Approx(maximum * scale2 - finiteMaximum(largest) * scale2);', 'return 1.0f;'),
  mutation('decode: no barrier before the merge of warps', merge, 'writeOut(sum, p, segment, member, column); };\n        meet();', 'writeOut(sum, p, segment, member, column); };'),
  mutation('decode: no barrier before the next segment', merge, 'meet();  // the area is free for the next piece', ''),
  mutation('decode: first split of each warp ignored', merge, 'for (int first = warp; first < segment.splits; first +=', 'for (int first = warp + (warp == 0 ? kWarps : 0); first < segment.splits; first +='),
  mutation('decode: splits added in the order of finishing', merge, 'static_cast<int64_t>(split) * kPartialFloats + (firstMember', 'static_cast<int64_t>((split + segment.split) % segment.splits) * kPartialFloats + (firstMember'),
  mutation('decode: merged by the first split to finish', merge, 'const bool finished = loadShared<uint32_t>(area) == last;', 'const bool finished = loadShared<uint32_t>(area) == 0u;'),
  mutation(
    'decode: tickets of the lengths drawn by splits',
    merge,
    'p.tickets + 1 + QueryRows<Config>::ring(p, segment)',
    'p.tickets + QueryRows<Config>::ring(p, segment)',
  ),
  mutation('decode: no barrier behind the gathering of splits', merge, 'gather(p, segment, area);\n                meet();', 'gather(p, segment, area);'),

  // Options of scores
  mutation('scores: LSE without the scale', scoreOptions, 'return logSumExp(maximum, sum, p.scale);', 'return logSumExp(maximum, sum, 1.0f);'),
  mutation('scores: no sink in the denominator', scoreOptions, ' + exp2Approx((sink - base) * kLog2e)', ''),
  mutation('scores: sink of the first head', scoreOptions, 'loadGlobal(p.sinkLogits + head)', 'loadGlobal(p.sinkLogits)'),
  mutation('scores: output relative to the keys alone', scoreOptions, 'return weight;', 'return 1.0f;'),
  mutation('scores: a sink that is larger than all logits overflows', scoreOptions, 'maximum = larger(own, sink);', 'maximum = own;'),
  mutation('scores: sink of another KV head', merge, 'joinSink<Config>(p, QueryRows<Config>::head(p, segment, member),', 'joinSink<Config>(p, member,'),
  mutation('scores: sink of head 0 in prefill', prefill, 'head = MmaPrefill::item().head;', 'head = 0;'),
  mutation('scores: sink of head 0 where parts are joined', wgmmaOutput, 'joinSink<Config>(p, item.head, largest, sum)', 'joinSink<Config>(p, 0, largest, sum)'),
  mutation('scores: a logit without the cap', scoreOptions, 'return multiplyAdd(score, scoreUnit<Config>(p), Config::kSoftCap);', 'return score * scoreUnit<Config>(p);'),
  mutation('scores: tanh of half', scoreOptions, '(2.0f / Config::kSoftCap)', '(1.0f / Config::kSoftCap)'),
  mutation('scores: half the cap', scoreOptions, 'return 2.0f * Config::kSoftCap;', 'return Config::kSoftCap;'),
  mutation('scores: half the cap in decode', attend, 'return 2.0f * Config::kSoftCap * kLog2e;', 'return Config::kSoftCap * kLog2e;'),
  mutation('scores: capped behind the mask in prefill', prefill, 'if constexpr (kCapsScores<Config>) capScores(scores, p.scale * kLog2e);\n            if (place.masked) applyMask(p, scores, place.page);', 'if (place.masked) applyMask(p, scores, place.page);\n            if constexpr (kCapsScores<Config>) capScores(scores, p.scale * kLog2e);'),
  mutation('scores: capped behind the mask in decode', attend, 'if constexpr (kCapsScores<Config>) capScores(scores);\n        const bool differ = mask_.apply(scores, item, row);', 'const bool differ = mask_.apply(scores, item, row);\n        if constexpr (kCapsScores<Config>) capScores(scores);'),
  mutation('scores: half the row is capped on wgmma', wgmmaCompute, 'for (int i = 0; i < kWidth / 2; ++i) scores[i] = cappedScore', 'for (int i = 0; i < kWidth / 4; ++i) scores[i] = cappedScore'),
  mutation(
    'scores: sinks of the first layer',
    launches,
    'sinkLogits.address + BigInt(state.index * sizes.stride(\'sinkLogits\'))',
    'sinkLogits.address',
  ),

  // Several tokens at once
  mutation('rows: a tile past the last row', queryRows, 'p.tokens * Config::groupSize(p) - segment.firstRow);', 'p.tokens * Config::groupSize(p));'),
  mutation('rows: every tile is of the first tokens', queryRows, 'token = token * p.tokens + (segment.firstRow + member) / Config::groupSize(p);', 'token = token * p.tokens + member / Config::groupSize(p);'),
  mutation('rows: a token attends the one behind it', queryRows, 'return tokens(p, segment.slot) - 1 - (segment.firstRow + member) / Config::groupSize(p);', 'return maximum(0, tokens(p, segment.slot) - 2 - (segment.firstRow + member) / Config::groupSize(p));'),
  mutation('rows: heads counted from the first token', queryRows, '(segment.firstRow + member) % Config::groupSize(p);', 'minimum(segment.firstRow + member, Config::groupSize(p) - 1);'),
  mutation('rows: new tokens in the sink are seen by all', ages, 'return kHasManyTokens<Config> && length_ - oldestRow_ < (page + 1) * kPageTokens;', 'return false;'),
  mutation(
    'rows: the tokens come after they are attended',
    launches,
    'if (!appends) this.append(state, tensors, this.#slots * tokens, this.#buffers.tokenEnds(tokens), { counts });',
    '',
  ),

  // Sequences that come and go
  mutation('sequences: a copy forgets what its rings have lost', sequences, 'reached[to] = reached[from]!;', ''),
  mutation('sequences: a token too many is taken back', sequences, 'if (kept <= needed) continue;', 'if (kept <= needed + 1) continue;'),
  mutation('sequences: a token too few is taken back', sequences, 'if (kept <= needed) continue;', 'if (kept < needed) continue;'),
  mutation(
    'sequences: a truncation forgets what rings have lost',
    sequences,
    'if (!wrapped.has(before)) next.reached[slot] = length;',
    'next.reached[slot] = length;',
  ),

  // Page tables on the device, and windows from the tables of a plan
  mutation('pages: a shared page is not copied before it is written', takePages, 'if (item < count && !isNew) old = loadGlobal(entry);', '', pageTables),
  mutation('pages: a slot that has a copy still holds the old page', takePages, 'if (atomicAddGlobal(p.refs + page, -1) > 1) return true;\n        atomicAddGlobal(p.refs + page, 1);', 'if (loadGlobal(p.refs + page) > 1) return true;', pageTables),
  mutation('pages: the last holder of a page does not count itself again', takePages, 'atomicAddGlobal(p.refs + page, 1);\n        return false;', 'return false;', pageTables),
  mutation('pages: a slot that gets no copy no longer holds the old page', takePages, 'atomicAddGlobal(p.refs + old, 1);  // there', '// there', pageTables),
  mutation('pages: past the last page of the window, not its first again', takePages, 'if (page >= end) page -= windowPages;', '', pageTables),
  mutation('pages: the first page twice where new tokens fill the window', takePages, 'minimum(pages.windowPages, pages.windowPages + toLast);', 'pages.windowPages + toLast;', pageTables),
  mutation('pages: a page is looked for at the sink of the first class alone', takePages, 'i < p.sinkCount; ++i', 'i < 1; ++i', pageTables),
  mutation('pages: taken from one above the top of the free stack', freePages, 'p.freePages + free - 1 - n', 'p.freePages + free - n', pageTables),
  mutation('pages: the count of free pages is restored too high', freePages, 'count - maximum(free, 0)', 'count', pageTables),
  mutation('pages: freed pages overwrite those of the 32 before', freePages, '        next += countBits(masks[i]);\n', '', pageTables),
  mutation('sequences: the one that is forked is not marked as sharing', changeSequence, 'storeGlobal(p.sharing + p.slot, 1);', '', pageTables),
  mutation('sequences: a truncation gives up a page too many', changeSequence, 'const int begin = geometry.pagesInUse(length, ring.window);', 'const int begin = geometry.pagesInUse(maximum(0, length - 1), ring.window);', pageTables),
  mutation('sequences: classes of a session taken for those of the plan', changeSequence, 'const int planClass = loadGlobal(p.planClasses + classIndex);', 'const int planClass = classIndex;', pageTables),
  mutation('spans: rounded up, not truncated', windows, 'const int64_t tokens = sum / rule.denominator;', 'const int64_t tokens = (sum + rule.denominator - 1) / rule.denominator;', spanTables),
  mutation('spans: a stack without room for the oldest value', windows, 'kSpanDepth = 6;', 'kSpanDepth = 5;', spanTables),
  mutation('spans: windows of heads longer than the model\'s', planTables, 'effectiveSpan(plan.rules[rule]!, plan.limits, modelWindow)', 'effectiveSpan(plan.rules[rule]!, plan.limits, null)', spanTables),

  // Steps: when they are planned, and what is launched in which order
  mutation(
    'steps: a plan is kept when something else has planned in its place',
    stepPlans,
    'this.#planned.clear();',
    '',
    ofSteps('a graph that planned in the same place'),
  ),
  mutation(
    'steps: every layer is planned',
    stepPlans,
    'return planned?.lengths === lengths && planned.as === as;',
    'return false;',
    ofSteps('is planned before its first layer'),
  ),
  mutation(
    'steps: the key of a plan forgets its counts',
    sequences,
    "typeof added === 'number' ? String(added) : added.join()",
    "typeof added === 'number' ? String(added) : 'counted'",
    ofSteps('is planned again for other tokens and other counts'),
  ),
  mutation(
    'steps: a graph plans once for layers of other counts',
    sessionEffect,
    '(counts.fixed?.join() ?? `buffer ${this.#numberOf(counts.buffer)}`)',
    "'counts'",
    ofSteps('plans each layer of other counts'),
  ),
  mutation(
    'steps: a graph does not ask whether its layers are in step',
    sessionEffect,
    'for (const { layer, as } of this.#inStep) sequences.bringInStep(layer, as);',
    '',
    ofSteps('whose layers are no longer in step'),
  ),
  mutation(
    'steps: reads early what a plan wrote',
    stepPlans,
    "this.#lastWritten = 'all';\n    this.#planned.set(name,",
    'this.#planned.set(name,',
    earlyReads,
  ),
  mutation(
    'steps: lengths are committed before the launch',
    session,
    'this.#launches.decode(state, tensors, name, tokens, this.#plans.mayReadEarly',
    'this.#sequences.commit(state.index, lengths);\n' +
      '      this.#launches.decode(state, tensors, name, tokens, this.#plans.mayReadEarly',
    ofSteps('behind the plan, decode'),
  ),
  mutation(
    'steps: a sequence is forked in the middle of one',
    session,
    'this.#sequences.checkBetweenSteps(slot);',
    '',
    ofPages('a sequence is not forked'),
  ),

  // Usage: the host's accounts of pages, and what is refused by them
  mutation(
    'usage: accounts are not advanced',
    sequences,
    'this.accounts.advance(slot, tokens);',
    '',
    ofPages('of sequences, forks and what is left of them'),
  ),
  mutation(
    'usage: a fork holds pages of its own',
    sequences,
    'this.accounts.fork(from, to);',
    'this.accounts.add(to, this.bounds[from]!);\n    this.accounts.advance(to, this.#reserved[from]!);',
    ofPages('of sequences, forks and what is left of them'),
  ),
  mutation(
    'usage: the pool is not asked before a decode takes pages',
    session,
    'this.#sequences.checkPages([lengths]);',
    '',
    ofPages('refuses the step that would not fit'),
  ),
  mutation(
    'usage: the pool is not asked before a graph takes pages',
    sessionEffect,
    'sequences.checkPages(this.#lengths);',
    '',
    ofPages('refuses a graph'),
  ),
  mutation(
    'usage: pages of a graph are counted before it is launched',
    sessionEffect,
    'for (const calls of this.#added.values()) for (const { write } of calls) write?.();',
    'this.#mirrors.sequences.reserve(this.#checked.map(({ lengths }) => lengths));',
    refusedLaunch,
  ),

  // The package as data: what hosts are told is what kernels have. Kernels say it too, and would not build
  mutation('structs: a field of another type', structs, "int64('firstEntry',", "int32('firstEntry',", packageData),
  mutation(
    'structs: an operation has the number of another',
    structs,
    "['add', 'remove', 'fork', 'truncate', 'begin']",
    "['remove', 'add', 'fork', 'truncate', 'begin']",
    packageData,
  ),
  mutation(
    'buffers: prefill plans in less memory than it writes',
    buffers,
    "multiply(hostVariable('items'), 24)",
    "multiply(hostVariable('items'), 20)",
    packageData,
  ),
  mutation(
    'buffers: counters are not cleared',
    buffers,
    "const zeros: InitialContent = { kind: 'bytes', value: 0 };",
    "const zeros: InitialContent = { kind: 'bytes', value: 255 };",
  ),
  mutation(
    'grids: too few blocks plan prefill',
    'src/kernels/planners.ts',
    "grid: hostVariable('classes'),",
    "grid: hostVariable('sinkCount'),",
  ),
  mutation(
    'grids: decode is not planned',
    'src/kernels/planners.ts',
    "grid: add(variable('pageBlocks'), hostVariable('decodeClasses')),",
    "grid: variable('pageBlocks'),",
  ),

  // Graphs
  mutation(
    'graphs: count at recording',
    session,
    'const plans = effect.addDecode(state,',
    'this.#sequences.commit(state.index, this.#sequences.after(this.#sequences.lengthsOf(state.index), tokens));\n' +
      '    const plans = effect.addDecode(state,',
  ),
  mutation('graphs: count nothing', graph, 'for (const effect of this.#effects) effect.count();', ''),
  mutation('graphs: count the first session alone', graph, 'for (const effect of this.#effects) effect.count();', 'this.#effects[0]?.count();'),
  mutation('graphs: count before they are launched', graph, 'for (const effect of this.#effects) effect.prepare();', 'for (const effect of this.#effects) effect.count();'),
  mutation('graphs: bounds are not checked', graph, 'for (const effect of this.#effects) effect.check();', ''),
  mutation('graphs: the bounds of the first session alone', graph, 'for (const effect of this.#effects) effect.check();', 'this.#effects[0]?.check();'),
  mutation('graphs: launched without a session that has ended', graph, 'for (const effect of this.#effects) effect.checkAlive();', ''),
  mutation('graphs: what a device captures counts for nobody', device, 'recording.effects,', '[],'),
  mutation('graphs: one effect for all sessions', recording, 'this.#effects.get(owner)', '[...this.#effects.values()].at(0)'),
  mutation('graphs: a tensor found alive stays so', buffer, 'this.#memory.link.freedBuffers += 1;', '', graphTensors),
  mutation(
    'graphs: a second decode of a layer is not added',
    sessionEffect,
    'for (const { of } of calls)',
    'for (const { of } of calls.slice(0, 1))',
  ),
  mutation('graphs: a capture within a capture drops the outer one', device, "throw new RuntimeError('capture', 'capture: a capture is already under way on this device'", "throw this.#addon.abortCapture(this.#handle!), new RuntimeError('capture', 'capture: a capture is already under way on this device'"),
  mutation(
    'counts: rows that are no token are appended',
    append,
    'if (length < 0 || token >= end || end - first < p.fewest) return;',
    'if (length < 0 || end - first < p.fewest) return;',
    fullRing,
  ),
  mutation('counts: lengths advance by all rows', append, 'if (p.counts != nullptr) return loadGlobal(p.counts + slot);', ''),
  mutation('counts: those of the first sequence', append, 'if (p.counts != nullptr) return loadGlobal(p.counts + slot);', 'if (p.counts != nullptr) return loadGlobal(p.counts);'),
  mutation('counts: rows that are no token attend', ages, 'position_[head] = age < 0 ? -1 : length - 1 - age;', 'position_[head] = length - 1 - age;'),
  mutation('counts: pages that all tokens attend are not masked', ages, 'QueryRows<Config>::ignores(p, segment) ? kOlderThanAll : ', ''),
  mutation('counts: ages of as many tokens as there are rows', queryRows, 'return p.counts == nullptr ? p.tokens : loadGlobal(p.counts + slot);', 'return p.tokens;'),
  mutation('counts: the host counts all rows', session, 'counts?.fixed ?? tokens', 'tokens'),
  mutation(
    'counts: a graph keeps those of its first launch',
    sessionEffect,
    'this.#checked = checked;',
    'if (this.#checked.length === 0) this.#checked = checked;',
  ),
  mutation('graphs: a reset in a capture', session, "this.#checkChangeable('reset');", ''),

  // Decode's plan: cuts of sequences, parts dealt to blocks, segments
  mutation(
    'decode plan: a ring begins without its gap',
    decodePlan,
    'set(placeAt(slot, unit), length + upTo - own);',
    'set(placeAt(slot, unit), length + upTo - cost);',
    decodePlans,
  ),
  mutation('decode plan: rings behind the first 32 begin at 0', decodePlan, 'length += shuffle(upTo, 31);', 'length = shuffle(upTo, 31);', decodePlans),
  mutation('decode plan: a part with fewer pages than groups', decodePlan, 'minimum(pages / cut_.minPages,', 'minimum(ceilDivide(pages, cut_.minPages),', decodePlans),
  mutation('decode plan: a ring that is cut has no partial result more', decodePlan, 'const int room = parts > 0 ? parts + units_ : 0;', 'const int room = parts;', decodePlans),
  mutation('decode plan: packed rows have idle slots', decodePlan, 'parts == 0 && tokens_.cuSeqlens == nullptr ? 1 : 0;', 'parts == 0 ? 1 : 0;', mixtures),
  mutation('decode plan: an idle slot has the number of the one before', decodePlan, 'if (get(idleAt(middle)) <= rank) {', 'if (get(idleAt(middle)) < rank) {', decodePlans),
  mutation('decode plan: the share of a block rounded down', decodePlan, '(block * total + used - 1) / used', 'block * total / used', decodePlans),
  mutation(
    'decode plan: a ring ends behind the gap of the next',
    decodePlan,
    'get(placeAt(slot, unit + 1)) - cut_.segmentPages : length;',
    'get(placeAt(slot, unit + 1)) : length;',
    decodePlans,
  ),
  mutation('decode plan: a ring is cut within its first pages', decodePlan, 'partsUpTo(minimum(place + cut_.minPages, end) - 1) - 1', 'partsUpTo(place) - 1', decodePlans),
  mutation(
    'decode plan: the fraction of the piece before',
    decodePlan,
    'static_cast<int64_t>(from + 1) * length % parts',
    'static_cast<int64_t>(from) * length % parts',
    decodePlans,
  ),
  mutation('decode plan: what is past the page, not what is missing', decodePlan, 'past == 0 ? 0 : parts - past;', 'past;', decodePlans),
  mutation('decode plan: a run too few', decodePlan, 'blockOf(pieces.last) - blockOf(pieces.first) + 1;', 'maximum(1, blockOf(pieces.last) - blockOf(pieces.first));', decodePlans),
  mutation('decode plan: rows of a tile counted over all KV heads', decodePlan, 'unit % cut_.tiles * cut_.tileRows', 'unit * cut_.tileRows', decodePlans),
  mutation('decode plan: blocks past the threads write over those before', decodePlan, 'rest += all;', 'rest = all;', decodePlans),
  mutation('decode plan: another length bound is no news', decodePlan, ' || loadGlobal(known + cut_.slots + slot) != bound;', ';', pageTables),
  mutation('decode plan: packed rows are no news', decodePlan, 'storeShared(vote, static_cast<int>(tokens_.cuSeqlens != nullptr));', 'storeShared(vote, 0);', mixtures),
  mutation('decode plan: what packed rows left is taken for that of slots', decodePlan, 'tokens_.cuSeqlens != nullptr ? -1 : cut_.tiles;', 'cut_.tiles;', pageTables),
  mutation('decode plan: rows of a step are those of its slots', newTokens, 'return cuSeqlens == nullptr ? slot : loadGlobal(cuSeqlens + slot);', 'return slot;', mixtures),
  mutation('decode plan: sequences with many new tokens are decoded', newTokens, 'added < maximum(1, fewest) || added > most ? 0', 'added < maximum(1, fewest) ? 0', decodePlans),

  // Decode: the pieces of a segment, and their sums
  mutation('decode pieces: ends beyond the segment', walker, 'pieceEnd_ = minimum(end, segmentEnd_);', 'pieceEnd_ = end;', pieces),
  mutation(
    'decode pieces: a piece ends with a page for each group',
    walker,
    'itemEnd_ = pieceEnd_ < segmentEnd_ ? pieceEnd_ : all;',
    'itemEnd_ = pieceEnd_ < segmentEnd_ ? ceilDivide(pieceEnd_, Config::kGroups) * Config::kGroups : all;',
    pieces,
  ),
  mutation('decode pieces: pages of the segment before are read', walker, 'return page_ < begin_ || page_ >= segmentEnd_;', 'return page_ >= segmentEnd_;', pieces),
  mutation('decode pieces: a page more where none is missing', walker, 'const bool isLonger = rest < 0;', 'const bool isLonger = rest <= 0;', pageWalker),
  mutation('decode pieces: what is missing is not carried on', walker, 'if (isLonger) rest += pieces;', '', pageWalker),
  mutation('decode pieces: each closes the segment', walker, 'const bool closes = pieceEnd_ == segmentEnd_;', 'const bool closes = true;', pieces),
  mutation('decode pieces: the number of the next is not counted', decode, '++segment.split;', '', pieces),
  mutation(
    'decode pieces: sums go to the split that has begun',
    merge,
    'writePartials(p, segment, segment.split - 1, area,',
    'writePartials(p, segment, segment.split, area,',
    pieces,
  ),
  mutation('decode pieces: wrong parity of full', merge, 'mbarrierWait(full(area), left_ & 1);', 'mbarrierWait(full(area), (left_ + 1) & 1);', pieces),
  mutation('decode pieces: wrong parity of free', merge, 'mbarrierWait(free(area), (left_ + 1) & 1);', 'mbarrierWait(free(area), left_ & 1);', pieces),
  mutation('decode pieces: states over those that others still read', merge, '{ mbarrierWait(free(area), (left_ + 1) & 1); }', '{}', pieces),
  mutation('decode pieces: added before all states are there', merge, 'mbarrierWait(full(area), left_ & 1);', '', pieces),
  mutation('decode pieces: groups do not take turns as a ring', merge, 'thread < kThreads ? thread : thread - kThreads', 'thread', pieces),

  // Prefill's plan: sequences, splits, sections, the sort
  mutation('prefill plan: no room for parts of pages that are partly filled', prefillRoom, 'Math.ceil(cached / pageTokens) + 3', 'Math.ceil(cached / pageTokens)', { files: ['test/runtime/prefillRoom.test.ts'] }),
  mutation('prefill plan: sequences that decode takes have items', prefillPlan, 'own.length >= maximum(1, in_.fewest);', 'own.length >= 1;', prefillPlans),
  mutation('prefill plan: a list that just has space is refused', prefillPlan, 'return pairs_ <= mostItems() - items_;', 'return pairs_ < mostItems() - items_;', prefillPlans),
  mutation(
    'prefill plan: the first of two parts is not whole tiles',
    prefillPlan,
    'const int firstPages = 2 * ceilDivide(pages, 4);',
    'const int firstPages = ceilDivide(pages, 2);',
    prefillPlans,
  ),
  mutation('prefill plan: an item of two pages is split', prefillPlan, 'const int fewest = maximum(2, in_.splitPages);', 'const int fewest = in_.splitPages;', prefillPlans),
  mutation(
    'prefill plan: an item that is just a share is split',
    prefillPlan,
    'pages * scale > loadGlobal(scratch_.shares() + sequence)',
    'pages * scale >= loadGlobal(scratch_.shares() + sequence)',
    prefillPlans,
  ),
  mutation(
    'prefill plan: a section takes a unit when it is full',
    prefillPlan,
    'itemsBefore.load(middle) - items < in_.blocks;',
    'itemsBefore.load(middle) - items <= in_.blocks;',
    prefillPlans,
  ),
  mutation(
    'prefill plan: a section without the tokens of its last unit',
    prefillPlan,
    'tokensBefore.load(middle + 1) - tokens;',
    'tokensBefore.load(middle) - tokens;',
    prefillPlans,
  ),
  mutation(
    'prefill plan: a unit reads more tokens than its ring holds',
    prefillPlan,
    'own.length + minimum(own.cached, in_.sink + ring.window);',
    'own.length + own.cached;',
    prefillPlans,
  ),
  mutation('prefill plan: costs compared by a bit less', prefillPlan, 'maximum(0, bitsOf(most) - kKeyBits) : 0;', 'maximum(0, bitsOf(most) - kKeyBits + 1) : 0;', prefillPlans),
  mutation('prefill plan: the tail counts each round of threads anew', prefillPlan, '            missing -= sum.total;\n', '', prefillPlans),
  mutation(
    'prefill plan: equal costs of a warp in any order',
    blockScan,
    '(counted + before) << kDigitBits | digit);',
    '(counted + countBits(same) - 1 - before) << kDigitBits | digit);',
    prefillPlans,
  ),
  mutation('prefill plan: a sort without its last digit', blockScan, '} while (shift < bits);', '} while (shift + kDigitBits < bits);', prefillPlans),

  // Mixed steps
  mutation('mixed steps: the host keeps the numbers of before', newTokensHost, 'this.#counts = Int32Array.from(counts);', '', mixedErrors),
  mutation('mixed steps: each slot has the whole budget', newTokensHost, 'if (total > this.budget)', 'if ((count as number) > this.budget)', mixedErrors),
  mutation('mixed steps: sequences with two tokens are decoded', packedCalls, 'if (count >= fewest) sequences', 'if (count > fewest) sequences', mixtures),
  mutation('mixed steps: who goes on is taken for new', packedCalls, 'cached: from.tokens[slot]! });', 'cached: 0 });', mixtures),
  mutation(
    'mixed steps: decoded tokens are appended again',
    packedCalls,
    'launches.appendRotated(state, tensors, rows, cuSeqlens, fewest);',
    'launches.appendRotated(state, tensors, rows, cuSeqlens, 1);',
    mixtures,
  ),
  mutation(
    'mixed steps: decoded tokens of new prompts are appended again',
    packedCalls,
    'launches.append(state, tensors, rows, cuSeqlens, { fewest });',
    'launches.append(state, tensors, rows, cuSeqlens);',
    ofSteps('by what reads its plan'),
  ),
  mutation('mixed steps: prefill takes what decode has', launches, 'kvHeads: shape.kvHeads,\n      fewest,', 'kvHeads: shape.kvHeads,\n      fewest: 1,', mixtures),
  mutation('mixed steps: a decode keeps the numbers of a step', launches, "    prepared.setPointer('cuSeqlens', 0n);\n", '', ofSteps('keeps no numbers')),
  mutation('mixed steps: decode counts the tokens of prompts', decode, 'loadGlobal(p.cuSeqlens + slot) == 1;', 'loadGlobal(p.cuSeqlens + slot) >= 1;', mixtures),
  mutation(
    'mixed steps: planned before the numbers come',
    stepPlans,
    '    call.write();\n    this.launchPacked(state, call, () => this.#sequences.reserve([lengths]));',
    '    this.launchPacked(state, call, () => this.#sequences.reserve([lengths]));\n    call.write();',
    mixtures,
  ),
  mutation(
    'mixed steps: a prefill reads the plan of a step',
    stepPlans,
    '`${planOfPrefill(state)} ${fewest} ${cuSeqlens}`',
    '`${planOfPrefill(state)} ${cuSeqlens}`',
    ofSteps('by what reads its plan'),
  ),
  mutation(
    'mixed steps: numbers on the device are taken for those of the host',
    stepPlans,
    '`${planOfPrefill(state)} ${fewest} ${cuSeqlens}`',
    '`${planOfPrefill(state)} ${fewest}`',
    ofSteps('by what reads its plan'),
  ),
  mutation('mixed steps: a decode reads the plan of a step', stepPlans, "if (call.decodes) this.#planned.delete('one');", '', ofSteps('have the same memory')),
  mutation(
    'mixed steps: a step reads the plan of a decode',
    stepPlans,
    "if (name === 'one' && this.#packedDecodes) this.#planned.delete('packed');",
    '',
    ofSteps('have the same memory'),
  ),
  mutation(
    'mixed steps: a decode in a graph reads the plan of a step',
    sessionEffect,
    "if (plans) this.#planned.delete('one');",
    '',
    ofSteps('of a graph that have the same memory'),
  ),
  mutation(
    'mixed steps: a step in a graph reads the plan of a decode',
    sessionEffect,
    "if (name === 'one') this.#planned.delete('packed');",
    '',
    ofSteps('of a graph that have the same memory'),
  ),
  mutation(
    'mixed steps: a graph plans once for layers of other numbers',
    sessionEffect,
    '`numbers ${this.#numberOf(numbers.cuSeqlens)}`',
    "'numbers'",
    ofSteps('plans each layer of other numbers'),
  ),
  mutation('mixed steps: a graph brings tokens to free slots', sessionEffect, 'this.#mirrors.sequences.checkAdded(numbers.current);', '', mixedErrors),
  mutation('mixed steps: a graph with numbers that are gone', sessionEffect, '[...tensors, numbers.cuSeqlens]', 'tensors', mixedErrors),

  // Pages, counted on the host
  mutation(
    'accounts: even up to a page too far',
    pageCounts,
    'begin + Math.ceil((length - begin) / pageTokens) * pageTokens;',
    'begin + (Math.floor((length - begin) / pageTokens) + 1) * pageTokens;',
    countedAccounts,
  ),
  mutation('accounts: even across the end of the sink', pageCounts, 'begin === 0 && sink > 0 ? Math.min(sink, page) : page', 'page', countedAccounts),
  mutation('accounts: a tree that is gone is counted again', pageAccounts, 'this.#changed.delete(tree);', '', countedAccounts),
  mutation('accounts: stretches that are no range are joined', pageAccounts, 'if (mayJoin(parent.stretch, other.stretch)) {', 'if (parent.stretch.length > 0) {', families),
  mutation('accounts: a joined stretch forgets what the first gave up', pageAccounts, 'low: Math.min(first.low, second.low),', 'low: second.low,', families),
  mutation('accounts: a fork has given up all pages', pageAccounts, 'reached: 0, length, low: length }, parent);', 'reached: 0, length, low: 0 }, parent);', families),
  mutation(
    'accounts: only the newest tokens of a stretch were written',
    pageAccounts,
    'return { from: Math.min(from, length), reached',
    'return { from: length, reached',
    families,
  ),
  mutation('accounts: a truncation is not counted', pageAccounts, 'leaf.evenTo = -1;\n    this.#changed.add(tree);', 'leaf.evenTo = -1;', countedAccounts),
  mutation(
    'accounts: written again by one is written again by all',
    pageAccounts,
    'reached: Math.min(a.reached, b.reached),',
    'reached: Math.max(a.reached, b.reached),',
    families,
  ),
  mutation('accounts: given up by one is given up by all', pageAccounts, 'low: Math.max(a.low, b.low),', 'low: Math.min(a.low, b.low),', countedAccounts),
  mutation(
    'accounts: pages of a truncation stay reserved',
    sequences,
    '    this.#reserved[slot] = length;\n    this.#change((next',
    '    this.#change((next',
    ofPages('goes back to what all layers have'),
  ),

  // Pages, taken and given up on the device
  mutation('accounts: a page is taken from an empty stack', freePages, 'if (n >= free) return -1;', 'if (n > free) return -1;', pageTables),
  mutation('accounts: rows that are no token take pages', newTokens, 'return counts == nullptr ? rows : minimum(rows, loadGlobal(counts + slot));', 'return rows;', pageTables),
  mutation(
    'accounts: a layer that is behind takes reserved pages back',
    takePages,
    'if (growth.target > growth.reserved) storeGlobal(p.reserved',
    'storeGlobal(p.reserved',
    ofPages('which has not its tokens'),
  ),
  mutation('accounts: tokens of the cache are reserved no more', takePages, 'maximum(length, loadGlobal(p.reserved + slot))', 'loadGlobal(p.reserved + slot)', pageTables),
  mutation(
    'accounts: the last page of a shared sink is not copied',
    takePages,
    'pages.first = growth.reserved / kPageTokens;',
    'pages.first = ceilDivide(growth.reserved, kPageTokens);',
    pageTables,
  ),
  mutation('accounts: a page behind the sink is looked for in it', takePages, '} else if (begin < 0) {', '} else if (begin <= 0) {', pageTables),
  mutation('accounts: the last slots of a long list are those of the first warp', takePages, 'if (other < warp) before += count;', '', pageTables),
  mutation('accounts: the last page is the first to be taken', changeSequence, 'pages - 1 - page);', 'page);', pageTables),
  mutation('accounts: a fork is not marked as sharing', changeSequence, 'loadGlobal(p.bounds + p.slot), reserved, 1);', 'loadGlobal(p.bounds + p.slot), reserved, 0);', pageTables),
  mutation(
    'accounts: a truncated fork no longer shares',
    changeSequence,
    'if (length == 0) storeGlobal(p.sharing + p.slot, 0);',
    'storeGlobal(p.sharing + p.slot, 0);',
    pageTables,
  ),
  mutation(
    'accounts: reserved is written while others read it',
    changeSequence,
    'if (!isLastBlock(p.ticket, gridSize(), sharedBase()) || threadIndex() != 0) return;',
    'if (threadIndex() != 0) return;',
    pageTables,
  ),
  mutation(
    'accounts: warps that share a ring drop the same pages',
    changeSequence,
    'for (int first = begin + part * kWarpPages; first < end;',
    'for (int first = begin; first < end;',
    pageTables,
  ),

  // Bytes that views write and copy
  mutation(
    'buffers: a view writes from the begin of the memory',
    buffer,
    'addon.write(handle, this.#offset + byteOffset, source);',
    'addon.write(handle, byteOffset, source);',
    copies,
  ),
  mutation('buffers: a view is copied from the begin of the memory', buffer, 'source, from.#offset, from.bytes);', 'source, 0, from.bytes);', copies),
  mutation(
    'buffers: the bytes of an array begin at those of its memory',
    buffer,
    'return new Uint8Array(buffer, byteOffset, byteLength);',
    'return new Uint8Array(buffer, 0, byteLength);',
    copies,
  ),
];
