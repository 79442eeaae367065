# slotring_warnings(TARGET)
#
# Gives TARGET the project's warnings; with SLOTRING_WERROR they are errors. The warnings are the
# target's own: they reach neither its users nor generated and third-party headers, which are
# system headers. Call it for every target that has sources.

option(SLOTRING_WERROR "Make warnings errors (tools/test and CI do)" OFF)

function(slotring_warnings target)
  target_compile_options(${target} PRIVATE
    -Wall
    -Wextra
    -Wpedantic
    -Wcast-align
    -Wcast-qual
    -Wconversion
    -Wextra-semi
    -Wformat=2
    -Wnon-virtual-dtor
    -Wold-style-cast
    -Woverloaded-virtual
    -Wshadow
    -Wundef
    -Wvla
    $<$<CXX_COMPILER_ID:GNU>:-Wduplicated-cond>
    $<$<CXX_COMPILER_ID:GNU>:-Wlogical-op>
    # g++ 12 reports std::string's own copies (GCC bug 105651).
    $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>
    # Part of clang's -Wconversion, and in C++ not of g++'s.
    $<$<CXX_COMPILER_ID:Clang>:-Wno-sign-conversion>)

  if(SLOTRING_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
    if(SLOTRING_SANITIZE)
      # Instrumented code misleads the flow analysis, which the dev and release presets check;
      # TSan does not see fences, so a test may report a race that a fence prevents.
      target_compile_options(${target} PRIVATE
        $<$<CXX_COMPILER_ID:GNU>:-Wno-error=maybe-uninitialized>
        $<$<CXX_COMPILER_ID:GNU>:-Wno-error=tsan>)
    endif()
  endif()
endfunction()
