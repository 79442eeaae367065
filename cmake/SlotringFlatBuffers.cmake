# slotring_flatbuffers(TARGET name SCHEMAS a.fbs b.fbs ...)
#
# Makes the INTERFACE library `name`, which generates code from the schemas when they change:
#   C++     <build>/generated/schemas/a_generated.h, to be included as "schemas/a_generated.h"
#   Python  <build>/generated/python/<the schema's namespace>/
# Code that links `name` is compiled after the generation. The headers are system headers, so they
# cause no warnings. Only FlatBuffers' headers are used, nothing of it is linked.
#
# A library that is installed links it as $<BUILD_INTERFACE:name>, since `name` is not.
#
# The folders are also the target's properties SLOTRING_GENERATED_CXX and SLOTRING_GENERATED_PYTHON.

function(slotring_flatbuffers)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "TARGET" "SCHEMAS")
  if(NOT arg_TARGET OR NOT arg_SCHEMAS OR arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "slotring_flatbuffers(TARGET name SCHEMAS a.fbs ...)")
  endif()
  find_package(FlatBuffers CONFIG REQUIRED)
  get_target_property(
    flatbuffers_include flatbuffers::flatbuffers_shared INTERFACE_INCLUDE_DIRECTORIES)
  find_program(SLOTRING_FLATC flatc REQUIRED)

  set(include_folder "${PROJECT_BINARY_DIR}/generated")
  set(cxx_folder "${include_folder}/schemas")
  set(python_folder "${include_folder}/python")
  list(TRANSFORM arg_SCHEMAS PREPEND "${CMAKE_CURRENT_SOURCE_DIR}/" REGEX "^[^/]")

  set(outputs "")
  foreach(schema IN LISTS arg_SCHEMAS)
    cmake_path(GET schema STEM name)
    set(header "${cxx_folder}/${name}_generated.h")
    # The names of the Python files follow from the schema's types, so a stamp stands for them.
    set(stamp "${python_folder}/${name}.stamp")
    # A schema may include any other: each is generated again when one changes.
    add_custom_command(
      OUTPUT "${header}" "${stamp}"
      COMMAND "${SLOTRING_FLATC}" --cpp --cpp-std c++17 --scoped-enums
              -o "${cxx_folder}" "${schema}"
      COMMAND "${SLOTRING_FLATC}" --python -o "${python_folder}" "${schema}"
      COMMAND "${CMAKE_COMMAND}" -E touch "${stamp}"
      DEPENDS ${arg_SCHEMAS} "${SLOTRING_FLATC}"
      COMMENT "Generating C++ and Python from ${name}.fbs"
      VERBATIM)
    list(APPEND outputs "${header}" "${stamp}")
  endforeach()

  add_custom_target(${arg_TARGET}_generate DEPENDS ${outputs})
  add_library(${arg_TARGET} INTERFACE)
  add_dependencies(${arg_TARGET} ${arg_TARGET}_generate)
  target_include_directories(${arg_TARGET} SYSTEM INTERFACE
    "${include_folder}" ${flatbuffers_include})
  set_target_properties(${arg_TARGET} PROPERTIES
    SLOTRING_GENERATED_CXX "${cxx_folder}"
    SLOTRING_GENERATED_PYTHON "${python_folder}")
endfunction()
