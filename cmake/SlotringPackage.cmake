# slotring_install_package(TARGET...)
#
# Installs the static libraries and their HEADERS file sets, and the package files with which
# find_package(slotring) gives them to others as slotring::TARGET. Call it once.

include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

function(slotring_install_package)
  set(package_folder "${CMAKE_INSTALL_LIBDIR}/cmake/slotring")
  foreach(target IN LISTS ARGN)
    get_target_property(header_sets ${target} INTERFACE_HEADER_SETS)
    if(header_sets)
      set(headers FILE_SET HEADERS DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" COMPONENT development)
    else()
      set(headers "")
    endif()
    install(TARGETS ${target} EXPORT slotringTargets
      ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT development ${headers})
  endforeach()
  install(EXPORT slotringTargets
    NAMESPACE slotring:: DESTINATION "${package_folder}" COMPONENT development)

  configure_package_config_file(
    "${PROJECT_SOURCE_DIR}/cmake/slotringConfig.cmake.in"
    "${PROJECT_BINARY_DIR}/slotringConfig.cmake"
    INSTALL_DESTINATION "${package_folder}"
    NO_SET_AND_CHECK_MACRO)
  write_basic_package_version_file(
    "${PROJECT_BINARY_DIR}/slotringConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
  install(FILES
    "${PROJECT_BINARY_DIR}/slotringConfig.cmake"
    "${PROJECT_BINARY_DIR}/slotringConfigVersion.cmake"
    DESTINATION "${package_folder}" COMPONENT development)
endfunction()
