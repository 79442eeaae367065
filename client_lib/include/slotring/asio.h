// Asynchronous calls with Boost.Asio's completion tokens. The only header of Slotring that needs
// Boost (1.74 or later, headers alone).
//
//     boost::asio::awaitable<void> serve(Client& client) {
//       Result<Reply> reply = co_await async_call(client, "classify", pixels, {.timeout = 1s},
//                                                 boost::asio::use_awaitable);
//       ...
//     }
//
// Signature: void(Result<Reply>). The handler runs on its associated executor, always posted, never
// within async_call(); it keeps that executor at work until then. All else is as with
// Client::call_async() and a callback: the reply is in its slot, and holds it.
//
// To cancel one call, give it a stop_token in its options. Destroy an executor's context after the
// client, or when its calls have ended.

#ifndef SLOTRING_ASIO_H_
#define SLOTRING_ASIO_H_

#include <utility>  // before Asio, which lacks it in C++20

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>

#include "slotring/client.h"

namespace slotring {

namespace internal {

// Begins the call of a handler.
struct InitiateCall {
  template <class Handler>
  void operator()(Handler&& handler, Client* client, std::string_view method, Payload payload,
                  const CallOptions& options) const {
    auto work = boost::asio::make_work_guard(boost::asio::get_associated_executor(handler));
    client->call_async(method, payload, options,
                       [handler = std::forward<Handler>(handler),
                        work = std::move(work)](Result<Reply> reply) mutable {
                         const auto executor = work.get_executor();
                         boost::asio::post(
                             executor,
                             [handler = std::move(handler), work = std::move(work),
                              reply = std::move(reply)]() mutable { handler(std::move(reply)); });
                       });
  }
};

}  // namespace internal

// Calls `method`. `method` and `payload` are borrowed until the operation begins: for most tokens
// until this returns, for use_awaitable until the co_await of what it returned.
template <class CompletionToken>
auto async_call(Client& client, std::string_view method, Payload payload,
                const CallOptions& options, CompletionToken&& token) {
  return boost::asio::async_initiate<CompletionToken, void(Result<Reply>)>(
      internal::InitiateCall{}, token, &client, method, payload, options);
}

}  // namespace slotring

#endif  // SLOTRING_ASIO_H_
