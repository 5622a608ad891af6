"""Samples that are copied with a member more, or with more in their JSON."""

from __future__ import annotations

import io
import json
import math
import tarfile

import pytest

from pipeline.tables.format import AddedMember
from pipeline.tables.formats.webdataset import tar_copy
from pipeline.tables.formats.webdataset.tar_copy import copy_samples, merged_json
from tests.pipeline.tables.formats.webdataset.test_samples import pack, scan


def copied(data: bytes, name: str, count: int, keep: set[int] | None = None) -> bytes:
    target = io.BytesIO()
    values = iter(f'{{"score": {i}}}' for i in range(count))
    samples = copy_samples(io.BytesIO(data), target, lambda i: keep is None or i in keep, AddedMember(name, values))
    assert samples == len(scan(data))
    return target.getvalue()


def held(data: bytes) -> list[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return [(one.name, tar.extractfile(one).read()) for one in tar]  # type: ignore[union-attr]


def test_each_sample_gets_a_member_at_its_end() -> None:
    members = [("a/1.jpg", b"x"), ("a/1.json", b"{}"), ("a/2.JPG", b"y"), ("./b/3.seg.png", b"z"), ("b/3.jpg", b"z")]
    found = held(copied(pack(members), "score.json", 3))
    assert found == [
        *members[:2],
        ("a/1.score.json", b'{"score": 0}'),
        members[2],
        ("a/2.score.json", b'{"score": 1}'),
        *members[3:],
        ("./b/3.score.json", b'{"score": 2}'),
    ]
    data = copied(pack(members), "score.json", 3)
    assert [sorted(one.extensions) for one in scan(data)] == [
        ["jpg", "json", "score.json"],
        ["jpg", "score.json"],
        ["jpg", "score.json", "seg.png"],
    ]
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        header = tar.getmember("a/1.score.json")
        assert (header.mode, header.mtime) == (tar.getmember("a/1.jpg").mode, tar.getmember("a/1.jpg").mtime)


def test_the_fields_go_to_the_end_of_the_samples_json() -> None:
    members = [("1.json", b'{"n": 1.50, "n2": 1e400}\n'), ("1.jpg", b"x"), ("2.jpg", b"y"), ("3.jpg", b"z")]
    found = held(copied(pack([*members, ("3.json", b"{ }")]), "json", 3))
    assert found == [
        ("1.json", b'{"n": 1.50, "n2": 1e400, "score": 0}'),
        *members[1:3],
        ("2.json", b'{"score": 1}'),
        members[3],
        ("3.json", b'{"score": 2}'),
    ]


def test_archives_that_were_joined_links_and_samples_that_are_left_out() -> None:
    first = pack([("1.json", b'{"a": 1}'), ("1.jpg", b"x")], l_json="1.json")
    found = held(copied(first + pack([("3.jpg", b"z"), ("4.jpg", b"w")]), "json", 4, keep={0, 1, 3}))
    assert found == [
        ("1.json", b'{"a": 1, "score": 0}'),
        ("1.jpg", b"x"),
        ("l.json", b'{"a": 1, "score": 1}'),
        ("4.jpg", b"w"),
        ("4.json", b'{"score": 2}'),
    ]


def test_names_that_are_long_or_no_utf_8() -> None:
    buffer = io.BytesIO()
    names = ["d" * 150 + "/x.jpg", b"\xff\xfe.jpg".decode(errors="surrogateescape")]
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT, errors="surrogateescape") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = 1
            tar.addfile(info, io.BytesIO(b"x"))
    found = held(copied(buffer.getvalue(), "score.json", 2))
    assert [name for name, _ in found] == [one for name in names for one in (name, name.replace(".jpg", ".score.json"))]


def test_samples_without_a_result_stay_as_they_are() -> None:
    members = [("1.jpg", b"x"), ("2.jpg", b"y")]
    assert held(copied(pack(members), "score.json", 0)) == members


@pytest.mark.parametrize(
    ("text", "merged"),
    [
        (b'{"a": {}}', '{"a": {}, "score": 1}'),
        (b" {} \n", '{"score": 1}'),
        ('{"a": "ü"}'.encode("utf-16"), '{"a": "ü", "score": 1}'),
        ('{"a": "{"}'.encode("utf-8-sig"), '{"a": "{", "score": 1}'),
    ],
)
def test_merged_json(text: bytes, merged: str) -> None:
    assert merged_json(text, '{"score": 1}').decode() == merged
    assert json.loads(merged)["score"] == 1


def test_json_that_is_no_object() -> None:
    with pytest.raises(ValueError, match=r"a \.json is no object"):
        merged_json(b"[1]", '{"score": 1}')


def linked(kind: bytes, target: str, between: list[tuple[str, bytes]], mtime: float = 0) -> bytes:
    """A tar with two links to one member, and members between and after them."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for number, (name, content) in enumerate(between):
            one = tarfile.TarInfo(name)
            one.size = len(content)
            tar.addfile(one, io.BytesIO(content))
            link = tarfile.TarInfo(f"link{number}.jpg")
            link.type, link.linkname = kind, target
            if not math.isfinite(mtime):
                link.pax_headers = {"mtime": str(mtime)}
            tar.addfile(link)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE])
@pytest.mark.parametrize("mtime", [0.0, math.inf, math.nan])
def test_members_after_links_are_copied_and_no_time_stops_it(kind: bytes, mtime: float) -> None:
    members = [("a.jpg", b"x" * 700), ("b.jpg", b"y"), ("c.jpg", b"z")]
    data = linked(kind, "a.jpg", members, mtime)
    found = held(copied(data, "score.json", 6))
    images = [one for one in found if one[0].endswith(".jpg")]
    assert images == [pair for i, one in enumerate(members) for pair in (one, (f"link{i}.jpg", members[0][1]))]


def sparse(name: str, size: int) -> bytes:
    """A sparse file of 512 bytes that says it has `size`: holes, and the bytes at its end."""
    data = bytearray(tarfile.TarInfo(name).tobuf(tarfile.GNU_FORMAT))
    data[124:136], data[156:157] = b"%011o\0" % 512, tarfile.GNUTYPE_SPARSE
    for at, number in ((386, size - 512), (398, 512), (483, size)):
        data[at : at + 12] = b"\x80" + number.to_bytes(11, "big")
    data[148:156] = b"%06o\0 " % (sum(data[:148]) + 256 + sum(data[156:]))
    return bytes(data) + b"x" * 512


def test_holes_of_a_sparse_member_are_not_written_out() -> None:
    data = sparse("a.jpg", 10 * 2**40) + bytes(1024)
    assert copied(data, "score.json", 1).startswith(data[:1024])  # itself is copied as it is
    link = tarfile.TarInfo("b.jpg")
    link.type, link.linkname = tarfile.LNKTYPE, "a.jpg"
    for tar in (data[:1024] + link.tobuf() + bytes(1024), sparse("a.json", 10 * 2**40) + bytes(1024)):
        with pytest.raises(ValueError, match="has holes"):
            copy_samples(io.BytesIO(tar), io.BytesIO(), {0, 1, 2}.__contains__, AddedMember("json", iter(["{}"] * 2)))


def test_links_that_would_fill_a_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A link of a block becomes a file of megabytes."""
    file, buffer = io.BytesIO(bytes(20_000)), io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        first = tarfile.TarInfo("0.jpg")
        first.size = 20_000
        tar.addfile(first, file)
        for i in range(1, 50):
            link = tarfile.TarInfo(f"{i}.jpg")
            link.type, link.linkname = tarfile.LNKTYPE, "0.jpg"
            tar.addfile(link)
    assert len(held(copied(buffer.getvalue(), "json", 0))) == 50, "a gigabyte is free"
    monkeypatch.setattr(tar_copy, "LINKED_BYTES", 0)
    with pytest.raises(ValueError, match=r"^links up to \d+\.jpg would take [\d,]+ bytes as files"):
        copied(buffer.getvalue(), "json", 0)


@pytest.mark.parametrize("before", [0, 1], ids=["the first member", "a later one"])
def test_a_member_with_thousands_of_headers(before: int) -> None:
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 7
    many = (header.tobuf(tarfile.USTAR_FORMAT) + b"7 a=bc\n".ljust(tarfile.BLOCKSIZE, b"\0")) * 3000
    data = pack([(f"{i}.jpg", b"x") for i in range(2)])
    at = 2 * tarfile.BLOCKSIZE * before
    with pytest.raises(ValueError, match=r"^a member has about a thousand headers or more$"):
        copy_samples(io.BytesIO(data[:at] + many + data[at:]), io.BytesIO(), lambda _: True)
