"""The order of examples is a function of the seed alone, and batches are of the order alone."""

import shutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sandglass.core.errors import BadInput
from sandglass.core.skeleton import COCO17
from sandglass.data import loader as module
from sandglass.data.augment import STRENGTHS, Batch
from sandglass.data.coco import read_coco
from sandglass.data.crops import CropConfig, PersonCrops
from sandglass.data.loader import Loader, Order

CROP = CropConfig(size=(48, 64))
SIZES = st.lists(st.integers(1, 30), min_size=1, max_size=4)


def counts(order, start, stop):
    return np.bincount(order.rows(start, stop), minlength=sum(order.sizes))


# The order.


@given(SIZES, st.integers(0, 2**40), st.lists(st.integers(0, 120), max_size=6))
@settings(max_examples=20)
def test_any_way_to_ask_gives_the_same_rows(sizes, seed, cuts):
    whole = Order(sizes, [1.0] * len(sizes), seed).rows(0, 120)
    order = Order(sizes, [1.0] * len(sizes), seed)
    ends = sorted({0, 120, *cuts})
    pieces = [order.rows(a, b) for a, b in pairwise(ends)]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)
    np.testing.assert_array_equal(Order(sizes, [1.0] * len(sizes), seed).rows(77, 120), whole[77:])  # a resumed run


@given(SIZES, st.integers(0, 1000), st.integers(0, 5))
@settings(max_examples=40)
def test_an_epoch_sees_everybody_once(sizes, seed, epoch):
    order = Order(sizes, [1.0] * len(sizes), seed)
    assert len(order) == sum(sizes)
    assert (counts(order, epoch * len(order), (epoch + 1) * len(order)) == 1).all()


@given(st.integers(2, 20), st.floats(0.05, 3.7), st.integers(0, 100), st.integers(0, 400))
@settings(max_examples=60)
def test_nobody_is_seen_twice_before_all_were_seen_once(size, weight, seed, stop):
    """At any moment, within a set of any weight."""
    order = Order([size, 7], [weight, 1.0], seed)
    seen = counts(order, 0, stop)
    assert seen[:size].max() - seen[:size].min() <= 1
    assert seen[size:].max() - seen[size:].min() <= 1


@pytest.mark.parametrize(("weight", "times"), [(2.0, 2.0), (0.5, 0.5), (1.0, 1.0), (0.1, 0.1), (3.25, 3.25)])
def test_a_weight_says_how_often_relative_to_the_other_set(weight, times):
    order = Order([40, 100], [weight, 1.0], seed=3)
    seen = counts(order, 0, 20 * len(order))
    assert seen[:40].mean() == pytest.approx(20 * times) and (seen[40:] == 20).all()


def test_the_millionth_epoch_costs_what_the_first_costs(monkeypatch):
    shuffled = []
    plain = module._permutation
    monkeypatch.setattr(module, "_permutation", lambda size, *key: (shuffled.append(size), plain(size, *key))[1])
    order = Order([300, 100], [1.0, 0.5], seed=0)
    assert shuffled == []  # nothing is laid out in advance
    for epoch in (0, 10**6):
        shuffled.clear()
        assert len(order.rows(epoch * len(order), epoch * len(order) + 8)) == 8
        assert sorted(shuffled) == [100, 300, 350]


def test_the_sets_are_mixed_and_the_epochs_differ():
    order = Order([500, 500], [1.0, 1.0], seed=1)
    rows = order.rows(0, 2000)
    share = (rows.reshape(20, 100) < 500).mean(1)
    assert share.min() > 0.3 and share.max() < 0.7
    assert (rows[:1000] == rows[1000:]).mean() < 0.02
    assert (Order([1000], [1.0], 1).rows(0, 1000) == Order([1000], [1.0], 2).rows(0, 1000)).mean() < 0.02
    assert abs(np.corrcoef(rows[:1000], np.arange(1000))[0, 1]) < 0.1


def test_a_small_weight_still_shows_somebody():
    order = Order([3, 1000], [0.01, 1.0], seed=0)
    assert counts(order, 0, len(order))[:3].sum() == 1


def test_threads_on_either_side_of_an_epochs_end_agree():
    want = Order([7], [1.0], 0).rows(0, 2100).reshape(-1, 5)
    order = Order([7], [1.0], 0)
    pause = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            got = list(pool.map(lambda i: order.rows(5 * i, 5 * i + 5), range(len(want))))
    finally:
        sys.setswitchinterval(pause)
    np.testing.assert_array_equal(got, want)


# Batches.


@pytest.fixture(scope="module")
def sets(tiny_coco):
    return [PersonCrops(read_coco(tiny_coco, split), CROP) for split in ("train", "val")]


def loader(sets, workers=0, seed=5, weights=None, **options):
    order = Order([len(s) for s in sets], weights or [1.0] * len(sets), seed)
    augment_seed, pin = options.get("augment_seed", seed), options.get("pin", False)
    return Loader(sets, order, STRENGTHS["strong"], CROP, COCO17, augment_seed, workers, pin=pin)


def equal(a, b):
    return all(torch.equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))


def take(batches, count):
    found = [next(batches) for _ in range(count)]
    batches.close()
    return found


def test_workers_pin(sets, monkeypatch):
    """Not the thread that trains: it would wait for the copy."""
    seen = []
    monkeypatch.setattr(Batch, "pinned", lambda batch: seen.append(threading.current_thread().name) or batch)
    take(loader(sets, 2).batches(0, 4), 3)
    assert not seen
    take(loader(sets, 2, pin=True).batches(0, 4), 3)
    assert seen and all(name.startswith("sandglass-loader") for name in seen)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="pinned memory needs a GPU")
def test_a_pinned_batch_is_the_same(sets):
    plain, pinned = (loader(sets, pin=pin).batch(0, 4) for pin in (False, True))
    assert equal(plain, pinned) and all(getattr(pinned, f.name).is_pinned() for f in fields(pinned))
    assert equal(plain, pinned.to(torch.device("cuda")).to(torch.device("cpu")))


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_change_nothing(sets, workers):
    """Nine batches of four from ten people: they straddle the epochs."""
    want = take(loader(sets).batches(0, 4), 9)
    got = take(loader(sets, workers).batches(0, 4), 9)
    assert all(equal(a, b) for a, b in zip(want, got, strict=True))
    assert not equal(want[0], take(loader(sets, seed=6).batches(0, 4), 1)[0])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_run_sees_the_rest(sets, workers):
    whole = take(loader(sets, workers).batches(0, 4), 8)
    rest = take(loader(sets, workers).batches(12, 4), 5)
    assert all(equal(a, b) for a, b in zip(whole[3:], rest, strict=True))


def test_the_batch_size_changes_no_example(sets):
    one = loader(sets).batch(0, 12)
    for start, stop in ((0, 3), (3, 4), (4, 12)):
        part = loader(sets).batch(start, stop)
        assert all(torch.equal(getattr(one, f.name)[start:stop], getattr(part, f.name)) for f in fields(one))


def test_a_batch_is_of_the_people_it_names(sets):
    feed = loader(sets)
    batch = feed.batch(0, 10)
    rows = batch.index.numpy()
    people = [(s.source, int(i)) for s in sets for i in s.people.ids]
    assert sorted(rows) == list(range(len(people)))
    told = {s.source: [person for source, person in (people[row] for row in rows) if source == s.source] for s in sets}
    found = feed.people(rows)
    assert all(f"{ids} of {source}" in found for source, ids in told.items()) and found.count(" of ") == len(told)
    assert batch.cuts.shape == (10, 96, 72, 3) and batch.cuts.dtype == torch.uint8
    for i, row in enumerate(batch.index.tolist()):
        s, at = (0, row) if row < len(sets[0]) else (1, row - len(sets[0]))
        np.testing.assert_array_equal(batch.cuts[i].numpy(), sets[s][at].image)
        assert sorted(batch.weight[i].tolist()) == sorted(sets[s].weight[at].tolist())


def test_closing_stops_the_threads_also_in_the_middle_of_work(sets):
    def running():
        return [t for t in threading.enumerate() if t.name.startswith("sandglass-loader")]

    batches = loader(sets, workers=3).batches(0, 4)
    next(batches)
    assert running()
    batches.close()
    assert not running()
    for batch in loader(sets, workers=2).batches(0, 4):
        assert len(batch) == 4
        break
    assert not running()


def test_waiting_is_measured(sets):
    feed = loader(sets)
    take(feed.batches(0, 4), 2)
    assert 0 < feed.waited < 60


# Photographs that cannot be read.


def broken(tiny_coco, folder, names):
    shutil.copytree(tiny_coco, folder)
    for name in names:
        (folder / "train" / name).write_bytes(b"")
    return [PersonCrops(read_coco(folder, "train"), CROP)]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_photograph_is_replaced_and_counted(tiny_coco, tmp_path, workers):
    sets = broken(tiny_coco, tmp_path / "set", ["000002.png"])
    bad = np.flatnonzero([p.image_path.name == "000002.png" for p in sets[0].people]).tolist()
    feed = loader(sets, workers)
    batches = take(feed.batches(0, 7), 3)
    assert sorted(feed.skipped) == bad and all("000002.png: the file is empty" in why for why in feed.skipped.values())
    seen = torch.cat([b.index for b in batches]).tolist()
    assert not set(seen) & set(bad)
    asked = feed.order.rows(0, 21)
    for row, got in zip(asked.tolist(), seen, strict=True):
        if row in bad:  # the next one of its set
            assert got == next(r % 7 for r in range(row, row + 7) if r % 7 not in bad)
        else:
            assert got == row


def test_a_set_without_one_readable_photograph_is_refused(tiny_coco, tmp_path):
    sets = broken(tiny_coco, tmp_path / "set", ["000001.png", "000002.png", "000003.png"])
    for workers in (0, 2):
        with pytest.raises(BadInput, match=r"set@train: not one photograph can be read; .*\.png: the file is empty"):
            take(loader(sets, workers).batches(0, 4), 1)


def test_photographs_are_counted_not_people(tiny_coco, tmp_path, monkeypatch):
    monkeypatch.setattr("sandglass.data.photos.MAX_BAD", 3)
    monkeypatch.setattr("sandglass.data.photos.MAX_BAD_SHARE", 0.0)
    sets = broken(tiny_coco, tmp_path / "set", ["000001.png", "000002.png"])
    assert np.bincount(sets[0].people.image).tolist() == [3, 2, 2]
    with pytest.raises(BadInput, match=r"^2 photographs cannot be read, with 4 of the \d+ people met so far"):
        take(loader(sets).batches(0, 7), 3)


def test_too_many_unreadable_photographs_are_refused(sets, make_people, tmp_path):
    lost = make_people(np.random.default_rng(0).uniform(0, 900, (200, 17, 2)))
    mixed = [PersonCrops(lost, CROP), sets[0]]
    with pytest.raises(
        BadInput, match=r"\d+ photographs cannot be read, with \d+ of the \d+ people .*; the last: \d+\.jpg"
    ):
        take(loader(mixed).batches(0, 4), 60)
