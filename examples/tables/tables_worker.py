"""Prices orders: FlatBuffers tables in, FlatBuffers tables out.

Needs what flatc makes of order.fbs, order_generated.py and order.bfbs, beside this file, and the
package flatbuffers (python3-flatbuffers).
"""

import flatbuffers
import order_generated as shop
import slotring

CENTS = {b"tea": 250, b"rice": 180}

ORDERS = slotring.table("order.bfbs", accessor=shop.Order)
PRICES = slotring.table("order.bfbs", root="shop.Price")


@slotring.handler(request=ORDERS, reply=PRICES)
def price(order):
    """The price of an order."""
    cents = articles = 0
    for i in range(order.LinesLength()):
        line = order.Lines(i)
        cents += CENTS[line.Article()] * line.Amount()
        articles += line.Amount()
    builder = flatbuffers.Builder(64)
    shop.PriceStart(builder)
    shop.PriceAddCents(builder, cents)
    shop.PriceAddArticles(builder, articles)
    builder.Finish(shop.PriceEnd(builder))
    return builder.Output()
