"""Samples of tars: keys, extensions, links, joined archives, and what is refused."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.tables.formats.webdataset.samples import Sample, read_samples, scan_samples

Members = list[tuple[str, bytes]]


def pack(members: Members, **links: str) -> bytes:
    """A tar of members, then of hard links."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for name, target in links.items():
            info = tarfile.TarInfo(name.replace("_", "."))
            info.type, info.linkname = tarfile.LNKTYPE, target
            archive.addfile(info)
    return buffer.getvalue()


def read(data: bytes, most: int = 100) -> list[Sample]:
    return list(read_samples(io.BytesIO(data), most))


def scan(data: bytes) -> list[Sample]:
    return list(scan_samples(io.BytesIO(data)))


def test_members_of_one_key_are_one_sample() -> None:
    members = [("a/1.JPG", b"img"), ("a/1.txt", b"t"), ("a/1.json", b"{}"), ("a/2.seg.png", b"s"), ("a/2.png", b"p")]
    assert read(pack(members)) == [
        Sample("a/1", {"jpg", "txt", "json"}, b"img", b"t", b"{}"),
        Sample("a/2", {"seg.png", "png"}, b"p"),
    ]
    assert [sample.image for sample in scan(pack(members))] == [None, None]
    assert read(pack(members))[0].size == len(b"img" + b"t" + b"{}" + b"a/1")


def test_members_that_are_no_data_are_passed_over() -> None:
    members = [("readme", b""), (".hidden", b""), ("./x/1.txt", b""), ("1.txt", b"")]
    assert [sample.key for sample in read(pack(members))] == ["x/1", "1"]


def test_the_first_image_counts_and_a_repeated_extension_begins_a_sample() -> None:
    assert [sample.image for sample in read(pack([("1.png", b"p"), ("1.jpg", b"j"), ("1.png", b"q")]))] == [b"p", b"q"]


@pytest.mark.parametrize("most", [0, 1, 5, 6, 7])
def test_an_image_is_read_up_to_one_byte_more_than_the_limit(most: int) -> None:
    assert read(pack([("1.png", b"sixsix")]), most)[0].image == b"sixsix"[: most + 1]


@given(st.lists(st.lists(st.integers(0, 3000), max_size=3), min_size=1, max_size=3), st.integers(0, 3))
def test_archives_that_were_joined_read_as_one(archives: list[list[int]], padding: int) -> None:
    data, keys = b"", []
    for i, sizes in enumerate(archives):
        data += pack([(f"{i}-{j}.png", b"x" * size) for j, size in enumerate(sizes)])
        data += bytes(tarfile.BLOCKSIZE * padding)
        keys += [(f"{i}-{j}", size) for j, size in enumerate(sizes)]
    found = read(data, 10_000)
    assert [(sample.key, len(sample.image or b"")) for sample in found] == keys
    assert [sample.key for sample in scan(data)] == [key for key, _ in keys]


def test_a_link_is_what_it_leads_to() -> None:
    assert [sample.image for sample in read(pack([("1.png", b"p")], **{"2_png": "1.png"}))] == [b"p", b"p"]
    with pytest.raises(ValueError, match=r"^2\.png is a link to gone\.png, which is not in the tar$"):
        read(pack([("1.png", b"p")], **{"2_png": "gone.png"}))


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (
            [("1.png", b""), ("2.png", b""), ("1.txt", b"")],
            "1.png and 1.txt are one sample, but other samples stand between them; WebDataset reads members that "
            "follow each other: write the tar in order of names (tar --sort=name)",
        ),
        (
            [("v1.5-a.png", b""), ("v1.5-a.txt", b"")],
            "v1.5-a.png: a key ends at the first dot, so this is the member '5-a.png' of the sample 'v1', which has "
            "no image; use names without dots",
        ),
    ],
)
def test_samples_that_cannot_be_told_apart(members: Members, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        scan(pack(members))
    assert str(caught.value) == message


def test_a_text_that_is_too_long() -> None:
    data = pack([("1.png", b"p"), ("1.txt", b"123456"), ("1.json", b"12345")])
    for [sample] in (list(read_samples(io.BytesIO(data), 9, 5)), list(scan_samples(io.BytesIO(data), 5))):
        assert sample.failure is not None
        assert sample.failure.reason == "row_too_large"
        assert sample.failure.detail.startswith("1.txt has more than 5 bytes")
        assert (sample.text, sample.json) == (None, b"12345")
    [sample] = read_samples(io.BytesIO(data), 9, 6)
    assert (sample.failure, sample.text) == (None, b"123456")


@given(st.integers(0, 4 * 512))
def test_a_tar_that_ends_early_is_an_error(size: int) -> None:
    data = pack([("1.txt", b"x" * 512), ("2.txt", b"y" * 512)])
    assert len(scan(data)) == 2
    with pytest.raises(ValueError, match=r"damaged or cut off|unexpected end|truncated|empty"):
        scan(data[:size])


def header(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    """A header of a member, with any size."""
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, kind, link
    return info.tobuf(tarfile.GNU_FORMAT)


END = bytes(1024)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
@pytest.mark.parametrize("size", [2**32, 2**45, 2**63 + 512])
def test_a_header_that_says_it_is_huge_takes_no_memory(kind: bytes, size: int) -> None:
    data = header("a", size, kind) + bytes(512) + END
    for reader in (read, scan):
        with pytest.raises((ValueError, tarfile.TarError), match=f"a header says that it has {size:,} bytes"):
            reader(data)


@pytest.mark.parametrize("size", [2**60, 10**26])
def test_a_member_that_ends_after_any_file_is_named_as_damage(size: int, tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(header("a.jpg", size) + END)
    with path.open("rb") as file, pytest.raises(ValueError, match="a header says that a member ends after"):
        list(scan_samples(file))


@pytest.mark.parametrize(
    "links",
    [
        header("a.jpg", 0, tarfile.SYMTYPE, "a.jpg"),
        header("a.jpg", 0, tarfile.SYMTYPE, "b.jpg") + header("b.jpg", 0, tarfile.SYMTYPE, "a.jpg"),
        b"".join(header(f"{i}.jpg", 0, tarfile.SYMTYPE, f"{i + 1}.jpg") for i in range(99)) + pack([("99.jpg", b"x")]),
    ],
)
def test_links_in_a_ring_or_a_long_chain_are_refused(links: bytes) -> None:
    with pytest.raises(ValueError, match=r"leads over more than 40 links, or to itself"):
        read(links + END)


def test_links_lead_to_the_member_that_tarfile_finds() -> None:
    parts = [
        pack([("x/a.jpg", b"1")])[:1024],
        header("b.jpg", 0, tarfile.LNKTYPE, "x/a.jpg"),
        header("x/c.jpg", 0, tarfile.SYMTYPE, "../x/./a.jpg"),
        header("d.jpg", 0, tarfile.LNKTYPE, "b.jpg"),
        pack([("x/a.jpg", b"2")])[:1024],
        header("e.jpg", 0, tarfile.LNKTYPE, "x/a.jpg"),
        END,
    ]
    data = b"".join(parts)
    found = [sample.image for sample in read(data)]
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert found == [tar.extractfile(one).read() for one in tar]  # type: ignore[union-attr]
    assert found == [b"1", b"1", b"2", b"1", b"2", b"2"]


@pytest.mark.parametrize("numbers", ["0,-5", "-5,5", "0,8,4,4", "0,4,8,99"])
@pytest.mark.parametrize("name", ["a.jpg", "a.txt"])
def test_a_map_of_holes_that_cannot_be_is_named(numbers: str, name: str) -> None:
    buffer, member = io.BytesIO(), tarfile.TarInfo(name)
    member.size = 8
    member.pax_headers = {"GNU.sparse.map": numbers, "GNU.sparse.size": "16", "GNU.sparse.numblocks": "1"}
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(member, io.BytesIO(b"x" * 8))
    for every in (read, scan):
        with pytest.raises(ValueError, match=f"{name} says of its size or its holes"):
            every(buffer.getvalue())


def test_a_sparse_file_of_a_negative_size_is_named() -> None:
    buffer, member = io.BytesIO(), tarfile.TarInfo("a.jpg")
    member.size = 8
    member.pax_headers = {"GNU.sparse.map": "0,8", "GNU.sparse.size": "-16", "GNU.sparse.numblocks": "1"}
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(member, io.BytesIO(b"x" * 8))
    with pytest.raises(ValueError, match=r"a header says|what cannot be|damaged"):
        read(buffer.getvalue())


def test_holes_that_can_be_are_zeros() -> None:
    buffer, member = io.BytesIO(), tarfile.TarInfo("a.jpg")
    member.size = 8
    member.pax_headers = {"GNU.sparse.map": "0,4,8,4,16,0", "GNU.sparse.size": "16", "GNU.sparse.numblocks": "3"}
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(member, io.BytesIO(b"xxxxyyyy"))
    assert read(buffer.getvalue())[0].image == b"xxxx\0\0\0\0yyyy\0\0\0\0"
