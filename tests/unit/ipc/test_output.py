"""Job output through the pipe: whole records, cut when too long, dropped rather than waited for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from orpheus.ipc.output import OutputReader, Record, decode, encode_record, write_record
from tests.unit.ipc.children import children


@pytest.fixture
def pipe() -> Iterator[tuple[OutputReader, int]]:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    yield OutputReader(reader), writer
    os.close(reader)
    os.close(writer)


def _record(message: str, fields: dict[str, Any] | None = None) -> bytes:
    return encode_record("log", 1, 2, 3, 4, "info", message, fields)


def test_a_record_arrives_as_it_was_sent(pipe: tuple[OutputReader, int]) -> None:
    reader, writer = pipe
    assert reader.read() == []
    assert write_record(writer, _record("héllo ☂ \ud800", {"n": 1}))
    assert write_record(writer, encode_record("progress", 1, 2, 3, 5, "", "", {"current": 1}))
    assert reader.read() == [
        Record("log", 1, 2, 3, 4, "info", "héllo ☂ \ud800", {"n": 1}),
        Record("progress", 1, 2, 3, 5, "", "", {"current": 1}),
    ]


@pytest.mark.parametrize(
    "message", ["x" * 5000, "☂" * 5000, "\n" * 4000, "\x00" * 100_000, "💥" * 999]
)
@pytest.mark.parametrize("fields", [None, {"a": "b" * 1000}, {"a": "b" * 5000}])
def test_what_is_too_long_is_cut_and_says_so(message: str, fields: dict[str, Any] | None) -> None:
    data = _record(message, fields)
    assert len(data) <= 4096
    record = decode(data[4:])
    assert record.message.endswith("… [truncated]")
    assert message.startswith(record.message.removesuffix("… [truncated]"))


def test_as_much_as_possible_is_kept() -> None:
    assert len(_record("x" * 5000)) == 4096
    exact = 4096 - len(_record(""))
    assert decode(_record("x" * exact)[4:]).message == "x" * exact


def test_fields_that_are_too_long_make_room_for_the_message() -> None:
    record = decode(_record("short", {"a": "b" * 5000})[4:])
    assert record.message == "short"
    assert record.fields == {"fields": "… [truncated]"}


def test_fields_need_not_be_json() -> None:
    assert decode(_record("m", {"path": object})[4:]).fields == {"path": "<class 'object'>"}


def test_a_full_pipe_drops_and_keeps_what_is_in_it(pipe: tuple[OutputReader, int]) -> None:
    reader, writer = pipe
    record = _record("x" * 3000)
    written = 0
    while write_record(writer, record):
        written += 1
    assert not write_record(writer, record)
    assert len(reader.read()) == written
    assert write_record(writer, record)


def test_a_reader_that_is_gone_hurts_nobody() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    assert not write_record(writer, _record("x"))
    os.close(writer)
    assert not write_record(writer, _record("x"))


def test_records_of_many_writers_stay_whole(pipe: tuple[OutputReader, int]) -> None:
    reader, writer = pipe
    count = 400

    def main() -> int:
        for number in range(count):
            message = chr(97 + os.getpid() % 26) * (number * 7 % 3500)
            while not write_record(writer, _record(message, {"pid": os.getpid()})):
                pass
        return 0

    seen: dict[int, int] = {}
    with children(main, main, main) as pids:
        while sum(seen.values()) < 3 * count:
            for record in reader.read(limit=1):
                assert set(record.message) <= {chr(97 + record.fields["pid"] % 26)}
                seen[record.fields["pid"]] = seen.get(record.fields["pid"], 0) + 1
        for pid in pids:
            assert os.waitpid(pid, 0)[1] == 0
    assert reader.damaged == 0
    assert sorted(seen) == sorted(pids)


def test_a_record_in_two_halves_is_put_together(pipe: tuple[OutputReader, int]) -> None:
    reader, writer = pipe
    data = _record("halves")
    os.write(writer, data[:10])
    assert reader.read() == []
    os.write(writer, data[10:])
    assert [record.message for record in reader.read()] == ["halves"]


def test_rubbish_is_counted_and_left(pipe: tuple[OutputReader, int]) -> None:
    reader, writer = pipe
    os.write(writer, b"hello, I am no record")
    assert reader.read() == []
    os.write(writer, (3).to_bytes(4, "little") + b"[1]" + _record("next"))
    assert [record.message for record in reader.read()] == ["next"]
    assert reader.damaged == 2
