#include "ledger.h"

#include <fstream>
#include <stdexcept>

namespace programs_demo {

void Ledger::add(const Ledger& other) {
  for (const auto& [method, counts] : other.calls) {
    for (std::size_t i = 0; i < counts.size(); ++i) calls[method][i] += counts[i];
  }
}

void Ledger::write(const std::string& path) const {
  std::ofstream file(path);
  for (const auto& [name, truth] : sessions) {
    file << "session " << name << ' ' << truth.counter << '\n';
    for (const auto& [program, function] : truth.programs) {
      file << "program " << name << ' ' << program << ' ' << function << '\n';
    }
  }
  for (const auto& [method, counts] : calls) {
    for (std::size_t i = 0; i < counts.size(); ++i) {
      if (counts[i] != 0) file << "calls " << method << ' ' << i << ' ' << counts[i] << '\n';
    }
  }
  if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

Ledger Ledger::read(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read " + path);
  Ledger ledger;
  for (std::string kind, name; file >> kind >> name;) {
    if (kind == "session") {
      file >> ledger.sessions[name].counter;
    } else if (kind == "program") {
      std::string program;
      file >> program >> ledger.sessions[name].programs[program];
    } else {
      std::size_t category = 0;
      file >> category >> ledger.calls[name].at(category);
    }
  }
  return ledger;
}

}  // namespace programs_demo
