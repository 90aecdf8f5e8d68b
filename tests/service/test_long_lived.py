from __future__ import annotations

from rulepush.service.long_lived import LongLivedObjects


def test_objects_are_frozen_after_a_number_of_new_series_and_young_garbage_goes_before() -> None:
    done: list[str] = []
    objects = LongLivedObjects(lambda generation: done.append(f"collect {generation}"), lambda: done.append("freeze"))
    for _ in range(19):
        objects.came(1_000)
    assert done == []
    objects.came(1_000)
    assert done == ["collect 1", "freeze"]
    objects.came(19_999)
    assert len(done) == 2
    objects.came(1)
    assert done[2:] == ["collect 1", "freeze"]
