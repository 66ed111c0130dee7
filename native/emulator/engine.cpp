// The emulator's engine, compiled once and linked with every kernel. Kernels see <moa/emulator/interface.hpp>.
#include <moa/emulator/accesses.hpp>
#include <moa/emulator/exchange.hpp>
#include <moa/emulator/matrixUnit.hpp>
#include <moa/emulator/namedBarriers.hpp>
#include <moa/emulator/run.hpp>
#include <moa/emulator/tensorCopies.hpp>
#include <moa/emulator/wgmma.hpp>

namespace moa::emulator {

template void executeMma<Half>(Engine&, Warp&);
template void executeMma<Bfloat16>(Engine&, Warp&);
template void executeLdmatrix<false>(Engine&, Warp&);
template void executeLdmatrix<true>(Engine&, Warp&);
template void executeSetRegisters<false>(Engine&, Warp&);
template void executeSetRegisters<true>(Engine&, Warp&);
template void executeNamedBarrier<false>(Engine&, Warp&);
template void executeNamedBarrier<true>(Engine&, Warp&);

#define MOA_PRODUCTS(Element, columns)                                                    \
    template void executeWgmma<Element, columns, Form::shared>(Engine&, Warp&);          \
    template void executeWgmma<Element, columns, Form::registersKMajor>(Engine&, Warp&); \
    template void executeWgmma<Element, columns, Form::registers>(Engine&, Warp&);
MOA_PRODUCTS(Half, 64)
MOA_PRODUCTS(Half, 128)
MOA_PRODUCTS(Half, 256)
MOA_PRODUCTS(Bfloat16, 64)
MOA_PRODUCTS(Bfloat16, 128)
MOA_PRODUCTS(Bfloat16, 256)

}  // namespace moa::emulator
