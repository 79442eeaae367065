# SLOTRING_SANITIZE names the sanitizers, as -fsanitize= does; the asan and tsan presets set it.
#
# slotring_enable_sanitizers()
#     Instruments every target made after it in this folder and below. An error found ends the
#     process. Sanitizers are the whole build's, never one target's: mixed code does not link.
#
# slotring_python_test_environment(OUT)
#     Sets OUT to the environment entries ("NAME=value") that a test needs whose processes load
#     the native extension into Python; empty without sanitizers. For the ENVIRONMENT property.

set(SLOTRING_SANITIZE "" CACHE STRING "Sanitizers, e.g. address,undefined or thread")

function(slotring_enable_sanitizers)
  if(NOT SLOTRING_SANITIZE)
    return()
  endif()
  add_compile_options(
    -fsanitize=${SLOTRING_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${SLOTRING_SANITIZE})
  if(SLOTRING_SANITIZE MATCHES "thread")
    # TSan does not see fences, and g++ says so at each; asio needs none besides its locks.
    add_compile_definitions(BOOST_ASIO_DISABLE_FENCED_BLOCK)
  endif()
endfunction()

function(slotring_python_test_environment out)
  set(environment "")
  # An uninstrumented interpreter must load the runtime before anything else, and would report its
  # own leaks. So must the C++ library be there, or the runtime finds no exceptions to look after in
  # extensions that are loaded later, not this project's only.
  if(SLOTRING_SANITIZE MATCHES "address")
    _slotring_compiler_library(libasan.so runtime)
    _slotring_compiler_library(libstdc++.so.6 cxx)
    set(environment "LD_PRELOAD=${runtime}:${cxx}" "ASAN_OPTIONS=detect_leaks=0")
  elseif(SLOTRING_SANITIZE MATCHES "thread")
    _slotring_compiler_library(libtsan.so runtime)
    set(environment "LD_PRELOAD=${runtime}")
  endif()
  set(${out} "${environment}" PARENT_SCOPE)
endfunction()

function(_slotring_compiler_library name out)
  execute_process(
    COMMAND ${CMAKE_CXX_COMPILER} -print-file-name=${name}
    OUTPUT_VARIABLE path OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  file(REAL_PATH "${path}" path)
  set(${out} "${path}" PARENT_SCOPE)
endfunction()
