// A folder for sockets, scripts and logs, gone with the object.

#ifndef SLOTRING_TOOLS_BENCH_SCRATCH_FOLDER_H_
#define SLOTRING_TOOLS_BENCH_SCRATCH_FOLDER_H_

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "client_lib/shm/memory.h"

namespace slotring::bench {

// Its name is short, as sockets' must be.
class ScratchFolder {
 public:
  ScratchFolder() : path_((std::filesystem::temp_directory_path() / "slotring-bench.XXXXXX")) {
    if (::mkdtemp(path_.data()) == nullptr) {
      throw Exception(shm::system_error(("mkdtemp " + path_).c_str(), errno));
    }
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace slotring::bench

#endif  // SLOTRING_TOOLS_BENCH_SCRATCH_FOLDER_H_
