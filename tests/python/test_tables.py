"""Tables of users' FlatBuffers schemas: verified natively before a handler sees them."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import slotring
from slotring import _native
from expected_errors import failure_of
from payloads import TableBytes
from worker_pool import CallFailed, WorkerPool

SCHEMA = """
namespace shop;
table Line { name: string (required); amount: uint; }
table Order { id: ulong; lines: [Line]; }
table Price { cents: ulong; }
root_type Order;
"""
ORDER = {"id": 7, "lines": [{"name": "tea", "amount": 2}, {"name": "rice"}]}

WORKER = """
import struct

import slotring

class Accessor:
    # As generated ones: it follows offsets without looking where they lead.
    @classmethod
    def GetRootAs(cls, view, offset):
        made = cls()
        made.view = view
        made.table = offset + struct.unpack_from("<I", view, offset)[0]
        return made

    def id(self):
        vtable = self.table - struct.unpack_from("<i", self.view, self.table)[0]
        at = struct.unpack_from("<H", self.view, vtable + 4)[0]
        return struct.unpack_from("<Q", self.view, self.table + at)[0]

ORDERS = slotring.table("shop.bfbs", accessor=Accessor)
PRICES = slotring.table("shop.bfbs", root="shop.Price")
seen = 0

@slotring.handler(request=ORDERS)
def id_of(order):
    return order.id()

@slotring.handler(request=slotring.table("shop.bfbs"))
def size(order):
    global seen
    seen += 1
    return [len(order), order.readonly]

@slotring.handler
def count(request):
    return seen

@slotring.handler(request=PRICES, reply=PRICES)
def same(price):
    return price

@slotring.handler(reply=PRICES)
def returned(request):
    return None if request is None else bytes(request)

@slotring.handler(request=ORDERS, reply=PRICES)
async def later(order, ctx):
    return PRICE_BYTES
"""


def flatc(folder: Path, *arguments: str) -> None:
    subprocess.run(["flatc", *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL)


def binary_schema(folder: Path, text: str = SCHEMA, name: str = "shop") -> bytes:
    (folder / f"{name}.fbs").write_text(text)
    flatc(folder, "-b", "--schema", f"{name}.fbs")
    return (folder / f"{name}.bfbs").read_bytes()


def table_bytes(folder: Path, value: dict, root: str) -> bytes:
    (folder / "value.json").write_text(json.dumps(value))
    flatc(folder, "-b", "--root-type", root, "shop.fbs", "value.json")
    return (folder / "value.bin").read_bytes()


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    binary_schema(folder)
    (folder / "order").write_bytes(table_bytes(folder, ORDER, "shop.Order"))
    (folder / "price").write_bytes(table_bytes(folder, {"cents": 250}, "shop.Price"))
    return folder


@pytest.fixture(scope="module")
def order(shop) -> bytes:
    return (shop / "order").read_bytes()


@pytest.fixture(scope="module")
def price(shop) -> bytes:
    return (shop / "price").read_bytes()


@pytest.fixture
def served(pool: WorkerPool, price) -> WorkerPool:
    binary_schema(pool.folder)
    pool.start_worker(WORKER + f'PRICE_BYTES = bytes.fromhex("{price.hex()}")')
    return pool


def test_a_handler_gets_what_its_accessor_makes_of_the_table(served, order):
    assert served.call("id_of", TableBytes("shop.Order", order)) == 7


def test_without_an_accessor_it_gets_a_read_only_view(served, order):
    assert served.call("size", TableBytes("shop.Order", order)) == [len(order), True]


def test_a_reply_is_a_table_of_the_declared_type(served, order, price):
    wanted = TableBytes("shop.Price", price)
    assert served.call("same", wanted) == wanted
    assert served.call("later", TableBytes("shop.Order", order)) == wanted
    assert served.call("returned", price) == wanted


@pytest.mark.parametrize(
    "payload, came",
    [
        (None, "nothing"),
        (b"bytes", "raw bytes"),
        ({"id": 7}, "a value"),
        (TableBytes("shop.Price", b""), "a table of type 'shop.Price'"),
        (TableBytes("x\ny", b""), "a table of type 'x?y'"),
    ],
)
def test_what_is_no_table_of_the_type_is_told_from_it(served, payload, came):
    failure = failure_of(served.call, "size", payload)
    assert failure.code == "TABLE_INVALID"
    assert failure.message == (
        f"the method takes a table of type 'shop.Order', and the request is {came}"
    )
    assert served.call("count") == 0


def test_a_handler_that_takes_no_tables_says_how_it_could(served, order):
    failure = failure_of(served.call, "count", TableBytes("shop.Order", order))
    assert failure.code == "INVALID_ARGUMENT"
    assert "'count' takes no tables" in failure.message
    assert "a table of type 'shop.Order'" in failure.message
    assert "@slotring.handler(request=...)" in failure.message


def test_an_unknown_method_stays_unknown_with_a_table(served, order):
    failure = failure_of(served.call, "none", TableBytes("shop.Order", order))
    assert failure.code == "METHOD_NOT_FOUND"


def test_a_broken_table_never_reaches_its_handler(served, order, pytestconfig):
    for cut in range(len(order)):
        failure = failure_of(served.call, "size", TableBytes("shop.Order", order[:cut]))
        assert failure.code == "TABLE_INVALID", cut
    assert served.call("count") == 0
    source = random.Random(pytestconfig.option.hypothesis_seed)
    reached = 0
    for _ in range(300):
        damaged = bytearray(order)
        for _ in range(source.randint(1, 3)):
            damaged[source.randrange(len(damaged))] = source.randrange(256)
        try:
            assert served.call("size", TableBytes("shop.Order", bytes(damaged)))[1]
            reached += 1
        except CallFailed as failure:
            assert failure.code == "TABLE_INVALID"
    assert served.call("count") == reached < 300


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_of_every_kind_is_told_or_does_no_harm(shop, order, data):
    schema = slotring.table(shop / "shop.bfbs").schema
    damaged = bytearray(order)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(damaged)))
    for hostile in (damaged, damaged[:cut], damaged[cut:], data.draw(st.binary(max_size=80))):
        try:
            schema.verify(hostile)
        except _native.Failure as failure:
            assert failure.args[1] == slotring.ErrorCode.TABLE_INVALID


def test_a_refusal_says_where(served, order):
    damaged = order.replace(b"rice\0", b"rice!")
    assert damaged != order
    failure = failure_of(served.call, "size", TableBytes("shop.Order", damaged))
    assert failure.message == (
        "the table is no valid shop.Order; at lines[1].name: the text has no end"
    )


@pytest.mark.parametrize(
    "payload, why",
    [
        (None, "returned a NoneType; a finished buffer can be sent, as of builder.Output()"),
        (b"no table", "the table is no valid shop.Price"),
    ],
)
def test_a_reply_that_is_no_such_table_is_not_sent(served, payload, why):
    failure = failure_of(served.call, "returned", payload)
    assert failure.code == "REPLY_NOT_CONVERTIBLE"
    assert why in failure.message


def test_a_handler_may_keep_a_table(pool, order):
    binary_schema(pool.folder)
    pool.start_worker(
        """
        import slotring
        kept = []

        @slotring.handler(request=slotring.table("shop.bfbs"))
        def keep(order):
            kept.append(order)

        @slotring.handler
        def show(request):
            return bytes(kept[0])
        """
    )
    pool.call("keep", TableBytes("shop.Order", order))
    pool.call("show", b"\xff" * 4 * len(order))
    assert pool.call("show") == order


@pytest.mark.parametrize(
    "declaration, why",
    [
        ('slotring.table("none.bfbs")', "none.bfbs'; flatc -b --schema writes one"),
        ('slotring.table("shop.fbs")', "is no binary schema, which flatc -b --schema makes"),
        ('slotring.table("cut.bfbs")', "the schema is cut short, or damaged"),
        ('slotring.table("shop.bfbs", root="shop.Lane")', "it has shop.Line, shop.Order"),
        ('slotring.table("rootless.bfbs")', "no root_type: name one of its tables, T"),
        ('slotring.table("shop.bfbs", accessor=int)', "is no accessor: flatc --python"),
        ('"shop.bfbs"', r"request= and reply= take a slotring.table\(...\)"),
    ],
)
def test_a_declaration_that_is_wrong_fails_at_set_up(pool, declaration, why):
    whole = binary_schema(pool.folder)
    (pool.folder / "cut.bfbs").write_bytes(whole[: len(whole) // 2])
    binary_schema(pool.folder, "table T { a: int; }", "rootless")
    pool.launch(
        f"""
        import slotring

        @slotring.handler(request={declaration})
        def f(request):
            pass
        """
    )
    pool.publish()
    assert pool.worker.outcome[0] == "setup_failed"
    assert why.replace("\\", "") in pool.worker.outcome[2]
    pool.expect_exit(3)


def test_a_broadcast_takes_no_tables(shop):
    with pytest.raises(TypeError, match="no table"):
        slotring.handler(broadcast=True, request=slotring.table(shop / "shop.bfbs"))
    with pytest.raises(TypeError, match="no table"):
        slotring.handler(broadcast=True, reply=slotring.table(shop / "shop.bfbs"))


def test_a_generator_yields_no_tables(pool):
    binary_schema(pool.folder)
    pool.launch(
        """
        import slotring

        @slotring.handler(reply=slotring.table("shop.bfbs"))
        def f(request):
            yield b""
        """
    )
    pool.publish()
    assert "what it yields is no table" in pool.worker.outcome[2]
    pool.expect_exit(3)


def test_a_setting_never_reaches_a_handler_of_tables(served, order):
    epoch = served.harness.record_setting("key", "size", 1, order, False)
    assert served.call("count") == 0
    assert served.harness.settings_told() == (epoch, epoch)
    assert "cannot carry" in str(served.call("settings"))


def test_a_table_says_its_type(shop):
    assert slotring.table(shop / "shop.bfbs").type_name == "shop.Order"
    assert "shop.Price" in repr(slotring.table(str(shop / "shop.bfbs"), root="shop.Price"))


def test_buffers_in_buffers_are_verified_where_the_schema_tells_of_them(tmp_path):
    schema = 'table Inner { n: ulong; } table T { b: [ubyte] (nested_flatbuffer: "Inner"); }'
    (tmp_path / "n.fbs").write_text(schema + " root_type T;")
    (tmp_path / "value.json").write_text(json.dumps({"b": {"n": 5}}))
    flatc(tmp_path, "-b", "n.fbs", "value.json")
    good = (tmp_path / "value.bin").read_bytes()
    (tmp_path / "value.json").write_text(json.dumps({"b": [255] * 32}))
    flatc(tmp_path, "-b", "--json-nested-bytes", "n.fbs", "value.json")
    bad = (tmp_path / "value.bin").read_bytes()
    flatc(tmp_path, "-b", "--schema", "n.fbs")
    slotring.table(tmp_path / "n.bfbs").schema.verify(bad)
    flatc(tmp_path, "-b", "--schema", "--bfbs-builtins", "n.fbs")
    knowing = slotring.table(tmp_path / "n.bfbs").schema
    knowing.verify(good)
    with pytest.raises(_native.Failure, match="at b: "):
        knowing.verify(bad)
