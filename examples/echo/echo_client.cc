// The smallest client: has its argument echoed by Python.
//
//     echo_client "hello"

#include <iostream>

#include <slotring/client.h>

int main(int argc, char** argv) {
  try {
    auto client = slotring::Client::attach("echo").value();
    auto reply = client.call("echo", argc > 1 ? argv[1] : "hello").value();
    std::cout << reply.text() << "\n";  // read in place; the slot is given back at the end of scope
    return 0;
  } catch (const slotring::Exception& failure) {
    std::cerr << "echo_client: " << failure.what() << "\n";
    return 1;
  }
}
