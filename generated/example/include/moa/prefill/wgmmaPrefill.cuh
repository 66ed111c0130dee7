// Prefill attention on Hopper: FlashAttention-3's pipeline (arXiv 2407.08608) over the pages that a head's mask leaves.
//
//   block      = a producer warp and kGroups warpgroups that compute; it stays, and takes items from the work list until none is left
//   item       = kRows = 64 kGroups query rows of one head; a warpgroup owns 64 of them
//   step       = a tile of two pages of keys, or of one where their number is odd and it is the last; with headDim 256 a tile is one page
//   warpgroup  : S(n+1) = Q K^T(n+1) and O += P(n) V(n) under way together; softmax of S(n+1) while O += P V goes on
//                the groups take turns at issuing, so that one computes its softmax while the tensor cores work for the other
//   producer   : items, Q, and K and V page by page (tensor copies of new tokens, bulk copies of ring pages), as far ahead as there are stages; it
//                alone walks the mask, and says of each step which pages it has and what of them needs masking
//   scan       : the three warps beside it make zeros of rows of V that hold no token, and in a second pass look for values that are not finite in
//                tiles that the mask cuts (wgmmaScan.cuh)
//   pass       : the first takes values as they are, and ends with the items, or when a warp notes outputs that are not finite: at most kItems items
//                later. Items with such outputs are computed again in the second, which then goes on with the work list
//
//   shared memory: K, V [kStages][a tile] as swizzled blocks of 64 columns; Q [kRows] the same, in one more stage of K, or twice; items, steps and
//                  barriers. A warp's rows of Q, when they have been read, make room for its rows of O. With headDim 256 there is one Q, which leaves with
//                  its item's last S, and a room for half of O.
//   barriers     : full (the bytes have landed) and empty (all who read or scan are done) of each stage of K, V and Q, empty of each item; and landed,
//                  of values that are scanned. What a full stage of K is for, and that its item is there, its step says.
#pragma once
#include <moa/prefill/wgmmaCompute.cuh>
#include <moa/prefill/wgmmaProducer.cuh>
#include <moa/prefill/wgmmaScan.cuh>
#include <moa/primitives/registers.cuh>

namespace moa {

template <class Config, class Mask>
class WgmmaPrefill {
    using Room = WgmmaRoom<Config>;

public:
    static constexpr int kSharedBytes = Room::kSharedBytes;
    static constexpr int kThreads = Room::kThreads;
    static constexpr int kPartialBytes = Room::kPartialBytes;

    template <class Params>
    static MOA_DEVICE void run(const Params& p) {
        if (threadIndex() == 0) Room::initialize();
        blockBarrier();
        const int group = warpIndex() / 4;
        if (group == Config::kGroups) {
            lowerRegisters<Config::kProducerRegisters>();
            if (warpIndex() == Room::kComputeWarps) {
                WgmmaProducer<Config, Mask>::produce(p);
            } else {
                WgmmaScan<Config>::run();
            }
        } else {
            raiseRegisters<Config::kComputeRegisters>();
            WgmmaCompute<Config, Mask>::compute(p, group);
        }
    }
};

}  // namespace moa
