"""Ranks that add, fail, die, fall silent or leave early: what `together` is tested with."""

import os
import time

import torch
import torch.distributed as dist

from harness.case import Case, Step
from suites.ranks.together import joined

LAST = 1


def rank_of(inputs, /, *, way, rank, world, meeting) -> Step:
    def call():
        with joined(inputs.device, rank, world, meeting):
            total = torch.tensor(float(10**rank))
            dist.all_reduce(total)
            if rank == LAST and way == "fail":
                raise ValueError("the last rank has had enough")
            if rank == LAST and way == "die":
                os._exit(3)
            if rank == LAST and way == "refuse":
                raise NotImplementedError("operator HcclFoo is not emulated")
            if way != "add":
                dist.all_reduce(total)
            if way == "silent":
                time.sleep(60)
        return {"rank": torch.tensor([rank]), "total": total}

    return Step(call)


def _case(way: str, timeout: float = 60) -> Case:
    params = {"way": way, "rank": 0, "world": 1, "meeting": ""}
    return Case(f"ways/{way}", "post_training", rank_of, "float32", (), params, golden=False, timeout=timeout)


CASES = (*map(_case, ("add", "fail", "refuse", "die")), _case("silent", timeout=2))
