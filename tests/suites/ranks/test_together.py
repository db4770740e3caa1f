"""Ranks start, find each other and answer in their order; one that fails, dies or is silent becomes an error that names it."""

import time

import pytest
import torch

from suites.ranks import together as module
from suites.ranks.together import together
from tests.suites.ranks.ways import CASES

WAYS = {case.id.removeprefix("ways/"): case for case in CASES}
CPU = torch.device("cpu")


def test_ranks_answer_in_their_order_and_have_met() -> None:
    found = together(WAYS["add"], 2, CPU)
    assert [int(rank["rank"]) for rank in found] == [0, 1]
    assert [float(rank["total"]) for rank in found] == [11.0, 11.0]


def test_a_rank_that_fails_is_named_and_nobody_waits_for_it() -> None:
    begun = time.monotonic()
    with pytest.raises(RuntimeError, match="rank 1 of 2 on cpu: error: ValueError: the last rank has had enough"):
        together(WAYS["fail"], 2, CPU)
    assert time.monotonic() - begun < module.PATIENCE / 2


def test_what_one_rank_cannot_is_unsupported() -> None:
    with pytest.raises(NotImplementedError, match=r"rank 1 of 2 on cpu: unsupported: .*HcclFoo is not emulated"):
        together(WAYS["refuse"], 2, CPU)


def test_a_rank_that_dies_is_named_and_the_next_world_has_another() -> None:
    with pytest.raises(RuntimeError, match="rank 1 of 2 on cpu: crash: the process died: exit status 3"):
        together(WAYS["die"], 2, CPU)
    assert len(together(WAYS["add"], 2, CPU)) == 2


def test_ranks_that_are_silent_are_ended() -> None:
    with pytest.raises(RuntimeError, match="rank 0 of 2 on cpu: timeout: no result after 2 s"):
        together(WAYS["silent"], 2, CPU)


def test_a_world_needs_a_device_for_each_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "available_devices", lambda: ["cuda:0", "cuda:1", "cpu"])
    with pytest.raises(NotImplementedError, match="a world of 3 needs as many cuda devices, and this machine has 2"):
        together(WAYS["add"], 3, torch.device("cuda", 1))
