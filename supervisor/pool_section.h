// One [pool.NAME] of the configuration file: which keys it has, and which of them contradict each
// other.

#ifndef SLOTRING_SUPERVISOR_POOL_SECTION_H_
#define SLOTRING_SUPERVISOR_POOL_SECTION_H_

#include <filesystem>
#include <string>
#include <vector>

#include "supervisor/config_table.h"

namespace slotring::supervisor {

// Where a path of the file is that stands in `folder`.
std::string placed(const std::filesystem::path& folder, const std::string& path);

class PoolSection {
 public:
  // Paths are relative to `folder`. All but `name` outlive this.
  PoolSection(const toml::table& table, std::string name, const std::filesystem::path& folder,
              ConfigErrors& errors);

  // Once. `others`: the pools that stand before this one, which must differ in some keys.
  PoolConfig read(const std::vector<PoolConfig>& others);

 private:
  void read_worker();
  void read_start();
  void read_staffing();
  void read_range(const toml::table& node);
  void read_sizes();
  // REQUIRES: the sizes have been read.
  void read_profile();
  void read_waiting();
  void read_sessions(const std::vector<PoolConfig>& others);
  void check_database(const std::vector<PoolConfig>& others);
  void read_access(const std::vector<PoolConfig>& others);
  void read_times();

  ConfigTable table_;
  const std::filesystem::path& folder_;
  ConfigErrors& errors_;
  PoolConfig pool_;
};

}  // namespace slotring::supervisor

#endif  // SLOTRING_SUPERVISOR_POOL_SECTION_H_
