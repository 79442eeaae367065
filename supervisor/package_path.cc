#include "supervisor/package_path.h"

#include <cstdlib>
#include <filesystem>
#include <vector>

namespace slotring::supervisor {

namespace {

namespace fs = std::filesystem;

bool holds_package(const fs::path& folder) {
  std::error_code ignored;
  return fs::exists(folder / "slotring" / "worker.py", ignored);
}

// Beside the program, so that a moved build or installation still finds its own.
std::vector<fs::path> default_places() {
  std::error_code failed;
  const fs::path program = fs::read_symlink("/proc/self/exe", failed);
  std::vector<fs::path> places;
  if (!failed) {
    places.push_back(program.parent_path() / ".." / SLOTRING_INSTALLED_PACKAGE);
    places.push_back(program.parent_path() / ".." / "python_side" / "package");
  }
  places.emplace_back(SLOTRING_BUILT_PACKAGE);
  return places;
}

}  // namespace

Result<std::string> find_package_path(const std::string& configured) {
  std::vector<fs::path> places;
  const char* from_environment = std::getenv("SLOTRING_PYTHON_DIR");
  if (!configured.empty()) {
    places.emplace_back(configured);
  } else if (from_environment != nullptr && from_environment[0] != '\0') {
    places.push_back(fs::absolute(from_environment));
  } else {
    places = default_places();
  }
  std::string looked_at;
  for (const fs::path& place : places) {
    if (holds_package(place)) return place.lexically_normal().string();
    looked_at += (looked_at.empty() ? "" : ", ") + place.lexically_normal().string();
  }
  return Error{ErrorCode::kInvalidArgument,
               "the Python package slotring is not in " + looked_at +
                   "; name its folder by `package_path` or SLOTRING_PYTHON_DIR"};
}

}  // namespace slotring::supervisor
