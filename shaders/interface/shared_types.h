/* The few words in which GLSL, C++ and CUDA agree, so that argument structs and page arithmetic are written once. */
#ifndef QUIRE_SHARED_TYPES_H
#define QUIRE_SHARED_TYPES_H

#ifdef __cplusplus
#include <stdint.h>
#ifdef __CUDACC__
#define SHARED_FN __host__ __device__ inline
#else
#define SHARED_FN inline constexpr
#endif
namespace quire {
typedef uint32_t uint32;
typedef int32_t int32;
/* A device address. In GLSL two 32-bit words (low, high), so that no 64-bit integers are needed there. */
typedef uint64_t ADDRESS;
typedef uint64_t REFERENCE;  /* the same in tables, where kernels read it as one value */
}
#else
#define SHARED_FN
#define uint32 uint
#define int32 int
#define ADDRESS uvec2
#define REFERENCE Bytes
#endif

#endif
