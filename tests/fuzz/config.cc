// The configuration: any text, parsed. What is accepted can be run, and each error says where it
// is.
//
//     input: the text; seeds in config_corpus/, words of the language in config.dict

#include "supervisor/config.h"

#include <cstdio>
#include <string>

#include "tests/fuzz/seed_corpus.h"

namespace slotring::fuzz {

std::vector<Input> seeds() { return {}; }

namespace {

void check_pool(const supervisor::PoolConfig& pool) {
  FUZZ_CHECK(layout::is_valid(pool.geometry()));
  FUZZ_CHECK(!pool.name.empty() && pool.name.size() <= layout::kMaxNameBytes);
  FUZZ_CHECK(!pool.module.empty() && pool.module.find('\0') == std::string::npos);
  FUZZ_CHECK(!pool.socket.empty() && pool.socket.find('\0') == std::string::npos);
  FUZZ_CHECK(pool.directory.find('\0') == std::string::npos);
  FUZZ_CHECK(pool.start_timeout.count() > 0);
  FUZZ_CHECK(pool.restart.delay.count() > 0 && pool.restart.delay <= pool.restart.delay_max);
  for (const auto& [name, value] : pool.env) {
    FUZZ_CHECK(!name.empty() && name.find('=') == std::string::npos);
    FUZZ_CHECK((name + value).find('\0') == std::string::npos);
  }
  for (const std::string& path : pool.python_path) {
    FUZZ_CHECK(path.find('\0') == std::string::npos);
  }
}

}  // namespace
}  // namespace slotring::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace slotring;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const supervisor::ConfigReading reading = supervisor::parse_config(text, "/etc/pools.toml");
  for (const supervisor::ConfigError& error : reading.errors) {
    FUZZ_CHECK(error.file == "/etc/pools.toml");
    FUZZ_CHECK(error.line >= 1 && error.column >= 1);
    FUZZ_CHECK(!error.message.empty());
  }
  if (!reading.ok()) return 0;
  FUZZ_CHECK(!reading.config.pools.empty());
  for (const supervisor::PoolConfig& pool : reading.config.pools) fuzz::check_pool(pool);
  return 0;
}
