# slotring_single_files(TARGET)
#
# The sanitizers' presets compile several files as one (CMAKE_UNITY_BUILD), which halves their time;
# the others, which do not, check that each file includes what it uses. Not so TARGET: its files give
# the same names to what is their own, or not each program links all that they need.
function(slotring_single_files target)
  set_target_properties(${target} PROPERTIES UNITY_BUILD OFF)
endfunction()
