// The smallest client that waits for nothing: has its arguments echoed by Python, all at once, by
// coroutines of one thread.
//
//     echo_later one two three

#include <iostream>
#include <utility>  // before Asio, which lacks it in C++20

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <slotring/asio.h>

namespace asio = boost::asio;

asio::awaitable<void> print_echo(slotring::Client& client, std::string_view text) {
  auto reply = co_await slotring::async_call(client, "echo", text, {}, asio::use_awaitable);
  std::cout << reply.value().text() << "\n";
}

int main(int argc, char** argv) {
  try {
    asio::io_context loop;  // outlives the client
    auto client = slotring::Client::attach("echo").value();
    for (int i = 1; i < argc; ++i) {
      asio::co_spawn(loop, print_echo(client, argv[i]), [](std::exception_ptr failure) {
        if (failure) std::rethrow_exception(failure);
      });
    }
    loop.run();
    return 0;
  } catch (const slotring::Exception& failure) {
    std::cerr << "echo_later: " << failure.what() << "\n";
    return 1;
  }
}
