"""Files as strangers write them: good ones with bytes changed, cut, repeated, replaced by extreme numbers."""

from __future__ import annotations

import struct

from hypothesis import strategies as st

NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 20_000, 0x7FFFFFFF, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)
WORDS = (
    b"[",
    b"{",
    b"[[",
    b"]",
    b'"',
    b"\\",
    b"\n",
    b"\r",
    b"\0",
    b",",
    b":",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"&a *a",
    b"NaN",
)


@st.composite
def mutated(draw: st.DrawFn, originals: list[bytes]) -> bytes:
    """A damaged copy of one of some files; now and then a good one."""
    data = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.sampled_from((0, 1, 1, 1, 2, 4, 12)))):
        at = draw(st.integers(0, len(data))) if draw(st.booleans()) else draw(st.integers(0, min(len(data), 200)))
        _change(data, at, draw(st.integers(0, 6)), draw)
    return bytes(data)


def _change(data: bytearray, at: int, how: int, draw: st.DrawFn) -> None:
    if how == 0 and at < len(data):
        data[at] ^= 1 << draw(st.integers(0, 7))
    elif how == 1:
        form = draw(st.sampled_from("BHIQ"))
        value = draw(st.sampled_from(NUMBERS)) & 256 ** struct.calcsize(form) - 1
        data[at : at + struct.calcsize(form)] = struct.pack(draw(st.sampled_from("<>")) + form, value)
    elif how == 2:
        del data[at:]
    elif how == 3:
        del data[at : at + draw(st.integers(1, 60))]
    elif how == 4:
        data[at:at] = data[at : at + draw(st.integers(1, 200))] * draw(st.sampled_from((1, 3, 50, 2000)))
    elif how == 5:
        data[at:at] = draw(st.sampled_from(WORDS)) * draw(st.sampled_from((1, 2, 40, 5000, 50_000)))
    else:
        data[at:at] = draw(st.binary(min_size=1, max_size=20))
