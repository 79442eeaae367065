#include "supervisor/config.h"

#include <unistd.h>

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "supervisor/config_table.h"

namespace slotring::supervisor {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kFile = "/etc/slotring/pools.toml";

// The pool p of a config that consists of it alone. `keys` begin on line 3.
ConfigReading parse_pool(const std::string& keys) {
  return parse_config("[pool.p]\nmodule = \"m\"\n" + keys, kFile);
}

std::vector<std::string> errors_of(const ConfigReading& reading) {
  std::vector<std::string> texts;
  for (const ConfigError& error : reading.errors) texts.push_back(error.to_string());
  return texts;
}

// The single error that these keys of a pool cause, or all of them, so that the test shows them.
std::string error_of(const std::string& keys) {
  std::string all;
  for (const std::string& text : errors_of(parse_pool(keys)))
    all += (all.empty() ? "" : "\n") + text;
  return all;
}

TEST(Config, AModuleIsEnough) {
  const ConfigReading reading = parse_pool("");
  ASSERT_THAT(errors_of(reading), IsEmpty());
  ASSERT_EQ(reading.config.pools.size(), 1u);
  const PoolConfig& pool = reading.config.pools[0];
  EXPECT_EQ(pool.name, "p");
  EXPECT_EQ(pool.module, "m");
  EXPECT_EQ(pool.python, "/usr/bin/python3");
  EXPECT_THAT(pool.python_path, ElementsAre("/etc/slotring/"));
  EXPECT_EQ(pool.geometry(),
            (layout::Geometry{1, 4, 256, 1024, 64 << 20, 256 << 10, 20 << 20, 1024}));
  EXPECT_TRUE(layout::is_valid(pool.geometry()));
  EXPECT_FALSE(pool.lets_others_in());
  EXPECT_FALSE(pool.elastic());
  EXPECT_EQ(pool.session_policy().mode, layout::SessionMode::kQueue);
  EXPECT_EQ(pool.session_policy().store, layout::SessionStoreKind::kMemory);
  EXPECT_EQ(pool.session_policy().ttl_ns, 0u);
  EXPECT_THAT(pool.socket, ::testing::EndsWith("/p.sock"));
}

TEST(Config, EveryKeyIsRead) {
  const ConfigReading reading = parse_config(R"(
    [log]
    level = "debug"
    file = "slotring.log"
    format = "json"

    [pool.p]
    module = "m"
    python = "venv/bin/python"
    python_path = ["src", "/opt/lib"]
    package_path = "package"
    directory = "/"
    env = { OMP_NUM_THREADS = "1" }
    workers = {min = 2, max = 3}
    lazy = true
    idle_timeout_s = 7
    slots_per_worker = 2
    max_clients = 10
    max_waiting = 20
    max_sessions = 30
    session_store = "sqlite:../../sessions.db"
    session_mode = "hint"
    session_ttl_s = 3.5
    slot_bytes = "1 MiB"
    warm_bytes = 8192
    kept_bytes = 16384
    socket = "p.sock"
    allow_users = ["root", 1234]
    allow_groups = [0, 5]
    start_timeout_s = 1.5
    drain_timeout_s = 2
    stop_timeout_s = 0
    orphan_timeout_s = 4
    call_time_limit_s = 0.5
    restart_delay_s = 0.25
    restart_delay_max_s = 8
    crash_loop_deaths = 0
    crash_loop_window_s = 9
  )",
                                             kFile);
  ASSERT_THAT(errors_of(reading), IsEmpty());
  EXPECT_EQ(reading.config.log.level, "debug");
  EXPECT_EQ(reading.config.log.file, "/etc/slotring/slotring.log");
  EXPECT_EQ(reading.config.log.format, LogFormat::kJson);
  const PoolConfig& pool = reading.config.pools.at(0);
  EXPECT_EQ(pool.python, "/etc/slotring/venv/bin/python");
  EXPECT_THAT(pool.python_path, ElementsAre("/etc/slotring/src", "/opt/lib"));
  EXPECT_EQ(pool.package_path, "/etc/slotring/package");
  EXPECT_EQ(pool.directory, "/");
  EXPECT_THAT(pool.env, ElementsAre(::testing::Pair("OMP_NUM_THREADS", "1")));
  EXPECT_EQ(pool.geometry(), (layout::Geometry{3, 2, 10, 20, 1 << 20, 8192, 16384, 30}));
  EXPECT_TRUE(pool.lazy);
  EXPECT_EQ(pool.min_workers, 2u);
  EXPECT_EQ(pool.idle_timeout, milliseconds(7000));
  EXPECT_EQ(pool.session_database, "/sessions.db");
  EXPECT_EQ(pool.session_policy().mode, layout::SessionMode::kHint);
  EXPECT_EQ(pool.session_policy().store, layout::SessionStoreKind::kDurable);
  EXPECT_EQ(pool.session_policy().ttl_ns, 3'500'000'000u);
  EXPECT_EQ(pool.socket, "/etc/slotring/p.sock");
  EXPECT_THAT(pool.allow_users, ElementsAre(0u, 1234u));
  EXPECT_THAT(pool.allow_groups, ElementsAre(0u, 5u));
  EXPECT_EQ(pool.start_timeout, milliseconds(1500));
  EXPECT_EQ(pool.drain_timeout, milliseconds(2000));
  EXPECT_EQ(pool.stop_timeout, milliseconds(0));
  EXPECT_EQ(pool.orphan_timeout, milliseconds(4000));
  EXPECT_EQ(pool.call_time_limit, milliseconds(500));
  EXPECT_EQ(pool.restart.delay, milliseconds(250));
  EXPECT_EQ(pool.restart.delay_max, milliseconds(8000));
  EXPECT_EQ(pool.restart.crash_loop_deaths, 0u);
  EXPECT_EQ(pool.restart.crash_loop_window, milliseconds(9000));
}

// They would end a text early for the programs that get it.
TEST(Config, ZerosAndOddNamesInWhatWorkersGetAreErrors) {
  for (const char* keys : {R"(python_path = ["a\u0000b"])", R"(env = { A = "\u0000" })",
                           R"(env = { "A=B" = "" })", R"(env = { "" = "" })"}) {
    EXPECT_THAT(error_of(keys), HasSubstr("pools.toml:3:")) << keys;
  }
}

TEST(Config, AnUnknownKeyIsNamedWithItsPlaceAndTheNearestKnownOne) {
  EXPECT_EQ(error_of("  workrs = 2\n"),
            "/etc/slotring/pools.toml:3:3: error: unknown key `workrs` in [pool.p]; did you mean "
            "`workers`?");
  EXPECT_EQ(error_of("colour = 2\n"),
            "/etc/slotring/pools.toml:3:1: error: unknown key `colour` in [pool.p]");
}

TEST(Config, UnknownTablesAreErrorsToo) {
  const auto errors =
      errors_of(parse_config("[pools.p]\nmodule = \"m\"\n[log]\nlevl = \"info\"\n", kFile));
  ASSERT_EQ(errors.size(), 3u);
  EXPECT_THAT(errors[0], HasSubstr("there is no pool"));
  EXPECT_THAT(errors[1], HasSubstr(":1:2: error: unknown key `pools` in the file; did you mean "
                                   "`pool`?"));
  EXPECT_THAT(errors[2], HasSubstr(":4:1: error: unknown key `levl` in [log]"));
}

TEST(Config, AWrongTypeSaysWhatIsExpectedAndWhatIsThere) {
  EXPECT_EQ(
      error_of("max_clients = \"2\"\n"),
      "/etc/slotring/pools.toml:3:15: error: `max_clients` in [pool.p] must be an integer, and is "
      "a text");
  EXPECT_THAT(error_of("workers = \"2\"\n"),
              HasSubstr("must be an integer or a table {min = A, max = B}, and is a text"));
  EXPECT_THAT(error_of("lazy = 1\n"), HasSubstr("must be true or false, and is an integer"));
  EXPECT_THAT(error_of("session_ttl_s = \"1\"\n"), HasSubstr("must be a number of seconds"));
  EXPECT_THAT(error_of("start_timeout_s = \"1s\"\n"), HasSubstr("must be a number of seconds"));
  EXPECT_THAT(error_of("python_path = \"src\"\n"), HasSubstr("must be an array of texts"));
  EXPECT_THAT(error_of("python_path = [1]\n"), HasSubstr(":3:16: error: "));
  EXPECT_THAT(error_of("env = [\"A=1\"]\n"), HasSubstr("must be a table of texts"));
  EXPECT_THAT(error_of("[pool.p.env]\nA = 1\n"), HasSubstr(":4:5: error: `env.A` in [pool.p]"));
  EXPECT_THAT(error_of("slot_bytes = 1.5\n"), HasSubstr("a text such as \"64 MiB\""));
  EXPECT_THAT(error_of("socket = 1\n"), HasSubstr("must be a text, and is an integer"));
  EXPECT_THAT(errors_of(parse_config("pool = 1\n", kFile)), ElementsAre(HasSubstr("[pool.NAME]")));
  EXPECT_THAT(errors_of(parse_config("[pool]\np = 1\n", kFile)),
              ElementsAre(HasSubstr("`p` must be a table, [pool.p]")));
}

TEST(Config, ACallMayRunForEverUnlessThereIsALimitOfSomeLength) {
  EXPECT_EQ(PoolConfig().call_time_limit, milliseconds(0));
  for (const char* allowed : {"0", "0.1", "86400"}) {
    const std::string text =
        std::string("[pool.p]\nmodule = \"m\"\ncall_time_limit_s = ") + allowed;
    EXPECT_THAT(errors_of(parse_config(text, kFile)), IsEmpty()) << allowed;
  }
  EXPECT_EQ(error_of("call_time_limit_s = 0.05\n"),
            "/etc/slotring/pools.toml:3:21: error: `call_time_limit_s` must be 0, for no limit, or "
            "at least 0.1 seconds");
  EXPECT_THAT(error_of("call_time_limit_s = -1\n"), HasSubstr("0 to 86400 seconds"));
}

TEST(Config, AValueOutOfRangeSaysWhatIsAllowed) {
  EXPECT_EQ(error_of("workers = 0\n"),
            "/etc/slotring/pools.toml:3:11: error: `workers` in [pool.p] is 0; allowed is 1 to "
            "1024");
  EXPECT_THAT(error_of("slots_per_worker = 125\n"), HasSubstr("allowed is 1 to 124"));
  EXPECT_THAT(error_of("max_clients = -1\n"), HasSubstr("allowed is 1 to 65534"));
  EXPECT_THAT(error_of("start_timeout_s = -1\n"), HasSubstr("0.1 to 86400 seconds"));
  EXPECT_THAT(error_of("drain_timeout_s = nan\n"), HasSubstr("0 to 86400 seconds"));
  EXPECT_THAT(error_of("slot_bytes = \"4 KiB\"\n"), HasSubstr("64 KiB to 16 GiB"));
  EXPECT_THAT(error_of("slot_bytes = 65537\n"), HasSubstr("in multiples of 4 KiB"));
  EXPECT_THAT(error_of("slot_bytes = \"64 MB\"\n"), HasSubstr("(B, KiB, MiB or GiB)"));
  EXPECT_THAT(error_of("slot_bytes = \"64 KiB\"\nwarm_bytes = \"1 MiB\"\n"),
              HasSubstr("4 KiB to 64 KiB"));
  EXPECT_THAT(error_of("module = \"\"\n"), HasSubstr("module"));
  EXPECT_THAT(errors_of(parse_config("[log]\nlevel = \"loud\"\n[pool.p]\nmodule = \"m\"", kFile)),
              ElementsAre(HasSubstr("is 'loud'; allowed is one of \"trace\", \"debug\"")));
}

TEST(Config, KeysThatContradictEachOtherAreErrors) {
  EXPECT_THAT(error_of("workers = 1024\nslots_per_worker = 124\n"), HasSubstr("at most 65534"));
  EXPECT_THAT(error_of("workers = 1000\nslot_bytes = \"16 GiB\"\n"), HasSubstr("can address"));
  EXPECT_THAT(error_of("allow_users = [1]\n"), HasSubstr("name a `socket` that they can reach"));
  EXPECT_THAT(error_of("restart_delay_s = 5\nrestart_delay_max_s = 1\n"),
              HasSubstr("5 to 86400 seconds"));
  EXPECT_THAT(error_of("env = { PYTHONPATH = \"x\" }\n"), HasSubstr("use `python_path`"));
  EXPECT_THAT(error_of("directory = \"/no/such/folder\"\n"), HasSubstr("there is no folder"));
  EXPECT_THAT(errors_of(parse_config("[pool.a]\nmodule=\"m\"\nsocket=\"s\"\n"
                                     "[pool.b]\nmodule=\"m\"\nsocket=\"s\"\n",
                                     kFile)),
              ElementsAre(HasSubstr(":6:8: error: the pools a and b have the same socket")));
}

TEST(Config, AProfileMayHaveThreadsOnlyWhereItUsesThem) {
  const auto pool = [](const std::string& lines) {
    return parse_config("[pool.p]\nmodule = \"m\"\n" + lines, "/c.toml");
  };
  EXPECT_EQ(pool("").config.pools[0].profile, "single");
  EXPECT_EQ(pool("profile = \"threads\"\nslots_per_worker = 7").config.pools[0].threads, 7u);
  EXPECT_EQ(pool("profile = \"threads\"\nthreads = 3").config.pools[0].threads, 3u);
  EXPECT_FALSE(pool("profile = \"threads\"\nthreads = 5").ok()) << "of 4 slots";
  const ConfigReading useless = pool("profile = \"asyncio\"\nthreads = 2");
  ASSERT_EQ(useless.errors.size(), 1u);
  EXPECT_NE(useless.errors[0].message.find("no effect with profile"), std::string::npos);
}

TEST(Config, WaitingIsOneOfThreeModes) {
  const auto waiting = [](const std::string& lines) {
    return parse_config("[pool.p]\nmodule = \"m\"\n" + lines, "/c.toml");
  };
  using layout::WaitingMode;
  EXPECT_EQ(waiting("").config.pools[0].waiting, WaitingMode::kBalanced);
  EXPECT_EQ(waiting("waiting = \"latency\"").config.pools[0].waiting, WaitingMode::kLatency);
  EXPECT_EQ(waiting("waiting = \"frugal\"").config.pools[0].waiting, WaitingMode::kFrugal);
  EXPECT_FALSE(waiting("waiting = \"eager\"").ok());
}

TEST(Config, APoolIsStartedFromATemplateThatPreloadsModules) {
  EXPECT_FALSE(parse_pool("").config.pools[0].forks());
  const ConfigReading reading =
      parse_pool("start = \"template\"\npreload = [\"numpy\", \"sklearn.linear_model\"]\n");
  ASSERT_THAT(errors_of(reading), IsEmpty());
  EXPECT_TRUE(reading.config.pools[0].forks());
  EXPECT_THAT(reading.config.pools[0].preload, ElementsAre("numpy", "sklearn.linear_model"));
  EXPECT_THAT(errors_of(parse_pool("start = \"template\"\n")), IsEmpty())
      << "the interpreter alone";
}

TEST(Config, WhatCannotBePreloadedIsAnError) {
  EXPECT_THAT(error_of("start = \"fork\"\n"), HasSubstr("\"process\""));
  EXPECT_THAT(error_of("preload = [\"numpy\"]\n"), HasSubstr(":3:11: error: `preload` has no"));
  for (const char* module : {"numpy.", ".numpy", "a..b", "a b", "lib/a.py", "1a"}) {
    EXPECT_THAT(error_of("start = \"template\"\npreload = [\"" + std::string(module) + "\"]\n"),
                HasSubstr("no name of a module"))
        << module;
  }
  EXPECT_THAT(error_of("start = \"template\"\npreload = [\"m\u00fcll_2.b\"]\n"), "");
}

TEST(Config, WorkersAreANumberOrARange) {
  const auto pool_of = [](const std::string& keys) {
    const ConfigReading reading = parse_pool(keys);
    EXPECT_THAT(errors_of(reading), IsEmpty()) << keys;
    return reading.config.pools.at(0);
  };
  EXPECT_FALSE(pool_of("workers = 3\n").elastic());
  EXPECT_EQ(pool_of("workers = 3\n").min_workers, 3u);
  EXPECT_TRUE(pool_of("workers = 3\nlazy = true\n").elastic());
  EXPECT_FALSE(pool_of("workers = 3\nlazy = true\n").shrinks());
  EXPECT_FALSE(pool_of("workers = {min = 3, max = 3}\n").elastic());
  EXPECT_TRUE(pool_of("workers = {min = 1, max = 3}\nidle_timeout_s = 1\n").shrinks());
  const PoolConfig lazy = pool_of("workers = {min = 0, max = 3}\nlazy = true\n");
  EXPECT_EQ(lazy.min_workers, 0u);
  EXPECT_EQ(lazy.geometry().max_workers, 3u);
}

TEST(Config, ARangeOfWorkersThatCannotBeIsAnErrorWithItsPlace) {
  EXPECT_EQ(error_of("workers = {min = 3, max = 2}\n"),
            "/etc/slotring/pools.toml:3:18: error: `min` is 3, and more than `max`, 2");
  EXPECT_EQ(error_of("workers = {min = 0, max = 2}\n"),
            "/etc/slotring/pools.toml:3:18: error: `min` is 0: a pool that may have no worker "
            "needs `lazy = true`");
  EXPECT_THAT(error_of("workers = {min = 0, max = 0}\nlazy = true\n"),
              HasSubstr(":3:27: error: `max` in `workers` of [pool.p] is 0; allowed is 1 to 1024"));
  EXPECT_THAT(error_of("workers = {min = -1, max = 2}\n"), HasSubstr("allowed is 0 to 1024"));
  EXPECT_THAT(error_of("workers = {max = 2}\n"),
              HasSubstr(":3:11: error: `workers` of [pool.p] needs `min`"));
  EXPECT_THAT(error_of("workers = {min = 1}\n"), HasSubstr("needs `max`"));
  EXPECT_THAT(error_of("workers = {min = 1, max = 2, step = 1}\n"),
              HasSubstr(":3:30: error: unknown key `step` in `workers` of [pool.p]"));
}

TEST(Config, AnIdleTimeoutWithoutEffectIsAnError) {
  for (const char* workers : {"2", "{min = 2, max = 2}", "2\nlazy = true"}) {
    EXPECT_THAT(error_of(std::string("idle_timeout_s = 5\nworkers = ") + workers + "\n"),
                HasSubstr(":3:18: error: `idle_timeout_s` has no effect"))
        << workers;
  }
  EXPECT_THAT(error_of("workers = {min = 1, max = 2}\nidle_timeout_s = 0\n"),
              HasSubstr("0.1 to 86400 seconds"));
}

TEST(Config, ASessionStoreIsMemoryOrADatabaseInAFolderThatIsThere) {
  EXPECT_THAT(errors_of(parse_pool("session_store = \"memory\"\n")), IsEmpty());
  for (const char* store : {"redis", "sqlite", "sqlite:"}) {
    EXPECT_THAT(error_of(std::string("session_store = \"") + store + "\"\n"),
                HasSubstr(":3:17: error: `session_store` in [pool.p] is "))
        << store;
  }
  EXPECT_EQ(error_of("session_store = \"sqlite:/no/such/s.db\"\n"),
            "/etc/slotring/pools.toml:3:17: error: `session_store`: there is no folder "
            "/no/such");
  EXPECT_THAT(error_of("session_store = \"sqlite:/tmp\"\n"), HasSubstr("is a folder"));
  EXPECT_THAT(
      errors_of(parse_config("[pool.a]\nmodule=\"m\"\nsession_store=\"sqlite:/s\"\n"
                             "[pool.b]\nmodule=\"m\"\nsession_store=\"sqlite:/s\"\n",
                             kFile)),
      ElementsAre(HasSubstr(":6:15: error: the pools a and b have the same session_store")));
}

TEST(Config, WhatIsSaidOfSessionsHasToMakeSense) {
  EXPECT_THAT(error_of("session_mode = \"wait\"\n"), HasSubstr("one of \"hint\", \"queue\""));
  EXPECT_THAT(
      error_of("session_ttl_s = 0.01\n"),
      HasSubstr(":3:17: error: `session_ttl_s` in [pool.p] is 0.01; allowed is 0, or 0.1 to"));
  EXPECT_THAT(errors_of(parse_pool("session_ttl_s = 0\n")), IsEmpty());
  for (const char* key :
       {"session_store = \"memory\"", "session_mode = \"fail\"", "session_ttl_s = 1"}) {
    EXPECT_THAT(error_of(std::string("max_sessions = 0\n") + key + "\n"),
                HasSubstr("has no effect: `max_sessions` is 0"))
        << key;
  }
}

TEST(Config, AUserThatDoesNotExistIsAnError) {
  EXPECT_THAT(error_of("socket = \"s\"\nallow_users = [\"nobody-of-that-name\"]\n"),
              HasSubstr("a user name that exists, or its id"));
  EXPECT_THAT(error_of("socket = \"s\"\nallow_groups = [-1]\n"), HasSubstr("is -1; allowed is"));
}

TEST(Config, APoolNeedsItsModuleAndAUsableName) {
  EXPECT_THAT(errors_of(parse_config("[pool.p]\n", kFile)),
              ElementsAre(HasSubstr(":1:1: error: [pool.p] needs `module`")));
  EXPECT_THAT(errors_of(parse_config("[pool.\"a/b\"]\nmodule = \"m\"\n", kFile)),
              ElementsAre(HasSubstr("1 to 63 letters, digits, _ or -")));
}

TEST(Config, ADuplicateKeyIsAnErrorWithItsPlace) {
  EXPECT_THAT(error_of("workers = 1\nworkers = 2\n"), HasSubstr("/etc/slotring/pools.toml:4:"));
}

TEST(Config, AllErrorsAreReportedInTheFilesOrder) {
  EXPECT_THAT(errors_of(parse_pool("zzzzzzzzz = 1\nworkers = 0\nmax_clients = 0\n")),
              ElementsAre(HasSubstr(":3:1:"), HasSubstr(":4:11:"), HasSubstr(":5:15:")));
}

TEST(Config, AFileThatCannotBeReadSaysWhy) {
  EXPECT_THAT(errors_of(read_config("/no/such/file.toml")),
              ElementsAre("/no/such/file.toml: error: cannot read it: No such file or directory"));
  EXPECT_FALSE(read_config("/").ok());
}

TEST(ConfigTable, BytesAreReadWithAndWithoutUnits) {
  EXPECT_EQ(parse_bytes("4096"), 4096u);
  EXPECT_EQ(parse_bytes("64 MiB"), 64u << 20);
  EXPECT_EQ(parse_bytes("2GiB"), std::uint64_t{2} << 30);
  for (const char* wrong : {"", "MiB", "-1", "1 mib", "1.5 MiB", "1 MiB ", "99999999999 GiB"}) {
    EXPECT_EQ(parse_bytes(wrong), std::nullopt) << wrong;
  }
  EXPECT_EQ(format_bytes(64 << 20), "64 MiB");
  EXPECT_EQ(format_bytes(4097), "4097 B");
}

TEST(ConfigTable, TheNearestNameIsOneOfFewMistakes) {
  const std::vector<std::string_view> known = {"workers", "max_waiting", "socket"};
  EXPECT_EQ(nearest_name("worker", known), "workers");
  EXPECT_EQ(nearest_name("max_waitnig", known), "max_waiting");
  EXPECT_EQ(nearest_name("max_", known), "max_waiting") << "its beginning";
  EXPECT_EQ(nearest_name("colour", known), "");
}

}  // namespace
}  // namespace slotring::supervisor
