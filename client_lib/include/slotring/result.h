// A value or an Error. Operating errors are values; value() turns them into exceptions for those
// who prefer them:
//
//     auto reply = client.call("echo", "hi");            // Result<Reply>
//     if (!reply) log(reply.error().to_string());
//     use(client.call("echo", "hi").value());            // throws slotring::Exception
//
// What a temporary Result holds comes out of it by value, so that it lives as long as it is used:
//
//     for (const auto& worker : client.broadcast("load", model).value().workers) ...

#ifndef SLOTRING_RESULT_H_
#define SLOTRING_RESULT_H_

#include <cassert>
#include <utility>
#include <variant>

#include "slotring/error.h"

namespace slotring {

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  // REQUIRES: ok().
  T& operator*() & { return *get(); }
  const T& operator*() const& { return *get(); }
  T operator*() && { return std::move(*get()); }
  T* operator->() { return get(); }
  const T* operator->() const { return get(); }

  // REQUIRES: !ok().
  const Error& error() const& {
    assert(!ok());
    return *std::get_if<1>(&state_);
  }
  Error error() && {
    assert(!ok());
    return std::move(*std::get_if<1>(&state_));
  }

  // The value, or throws Exception.
  T& value() & {
    throw_if_error();
    return *get();
  }
  T value() && {
    throw_if_error();
    return std::move(*get());
  }

 private:
  T* get() {
    assert(ok());
    return std::get_if<0>(&state_);
  }
  const T* get() const {
    assert(ok());
    return std::get_if<0>(&state_);
  }
  void throw_if_error() const {
    if (!ok()) throw Exception(*std::get_if<1>(&state_));
  }

  std::variant<T, Error> state_;
};

// Success without a value.
struct Done {};
using Status = Result<Done>;

}  // namespace slotring

#endif  // SLOTRING_RESULT_H_
