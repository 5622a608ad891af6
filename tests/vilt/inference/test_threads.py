"""Passes side by side: results in order, errors as they are, and torch's threads as they were."""

import threading

import pytest
import torch

from vilt.inference.threads import side_by_side


def test_several_at_once_in_order() -> None:
    before, meet = torch.get_num_threads(), threading.Barrier(3)

    def run(item: int) -> tuple[int, int]:
        meet.wait(30)  # all three are under way at once
        return item, torch.get_num_threads()

    assert list(side_by_side(run, [5, 6, 7], 3)) == [(5, 1), (6, 1), (7, 1)]
    assert torch.get_num_threads() == before
    seen: list[int] = []
    other = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    other.start()
    other.join()
    assert seen == [before], "what a new thread begins with"


def test_one_alone_has_all_threads() -> None:
    assert list(side_by_side(lambda _: torch.get_num_threads(), ["a"], 4)) == [torch.get_num_threads()]


def test_an_error_comes_out() -> None:
    def run(item: int) -> int:
        if item == 2:
            raise ValueError("no 2")
        return item

    with pytest.raises(ValueError, match="no 2"):
        list(side_by_side(run, [1, 2, 3], 2))
