# Sources of the reference kernels, relative to engine/device.
set(QUIRE_REFERENCE_SOURCES
  reference/reference_kernels.cpp
  reference/reference_columns.cpp
  reference/reference_matmul.cpp
  reference/reference_pages.cpp
  reference/reference_attention.cpp
  reference/reference_search.cpp
  reference/weight_blocks.cpp)
