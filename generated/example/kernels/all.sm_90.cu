// Every kernel of this plan for sm_90, as one translation unit:
//     nvcc -cubin -arch=sm_90 -std=c++20 -O3 -I include kernels/all.sm_90.cu
#include "moa_append_fp16_d64_h4_kv2_sink64.cu"
#include "moa_append_fp16_d64_h4_kv2_sink64_rope.cu"
#include "moa_decode_fp16_d64_h4_kv2_sink64_s3x2.cu"
#include "moa_decode_fp16_d64_h4_kv2_sink64_s3x2_age.cu"
#include "moa_decode_fp16_d64_h4_kv2_sink64_s3x2_age_rope.cu"
#include "moa_decode_fp16_d64_h4_kv2_sink64_s3x2_rope.cu"
#include "moa_prefill_fp16_d64_h4_kv2_sink64_m128.cu"
