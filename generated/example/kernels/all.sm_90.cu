// Every kernel of this plan for sm_90, as one translation unit:
//     nvcc -cubin -arch=sm_90 -std=c++20 -O3 -I include kernels/all.sm_90.cu
#include "moa_append_bf16_d64_h8_kv4_sink64.cu"
#include "moa_append_bf16_d64_h8_kv4_sink64_rope.cu"
#include "moa_decode_bf16_d64_h8_kv4_sink64_s2x3.cu"
#include "moa_decode_bf16_d64_h8_kv4_sink64_s2x3_rope.cu"
#include "moa_prefill_bf16_d64_h8_kv4_sink64_m128.cu"
#include "moa_change_sequence.cu"
#include "moa_step.cu"
#include "moa_plan_prefill.cu"
