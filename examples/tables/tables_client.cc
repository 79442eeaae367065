// Has an order priced by Python: tables of a schema of its own, order.fbs, both ways.
//
//     tables_client tea 2 rice 1

#include <cstdlib>
#include <iostream>
#include <vector>

#include <slotring/table.h>

#include "order_generated.h"

int main(int argc, char** argv) {
  try {
    flatbuffers::FlatBufferBuilder builder;
    std::vector<flatbuffers::Offset<shop::Line>> lines;
    for (int i = 1; i + 1 < argc; i += 2) {
      const auto amount = static_cast<std::uint32_t>(std::strtoul(argv[i + 1], nullptr, 10));
      lines.push_back(shop::CreateLineDirect(builder, argv[i], amount));
    }
    builder.Finish(shop::CreateOrderDirect(builder, "Ada", &lines));

    auto client = slotring::Client::attach("tables").value();
    auto reply = client.call("price", slotring::table_payload("shop.Order", builder)).value();
    const auto price = slotring::read_table<shop::Price>(reply, "shop.Price").value();
    std::cout << price->articles() << " articles, " << price->cents() << " cents\n";
    return 0;
  } catch (const slotring::Exception& failure) {
    std::cerr << "tables_client: " << failure.what() << "\n";
    return 1;
  }
}
