# Paths relative to engine/device.
set(QUIRE_VULKAN_SOURCES
  vulkan/vulkan_choice.cpp
  vulkan/vulkan_device.cpp
  vulkan/vulkan_encoder.cpp
  vulkan/vulkan_functions.cpp
  vulkan/vulkan_instance.cpp
  vulkan/vulkan_limits.cpp
  vulkan/vulkan_memory.cpp
  vulkan/vulkan_pipeline.cpp
  vulkan/vulkan_pipeline_file.cpp
)
