#version 460
// What a compiler must know for kernels on cooperative matrices; compiled by the configure step and never run.
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
layout(local_size_x = 32) in;
shared float16_t values[256];

void main() {
  coopmat<float16_t, gl_ScopeSubgroup, 16, 16, gl_MatrixUseA> matrix;
  coopMatLoad(matrix, values, 0, 16, gl_CooperativeMatrixLayoutRowMajor);
}
