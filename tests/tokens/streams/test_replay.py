"""Replay: windows of new days, and a share of the old ones, the same however the log is read."""

import numpy as np
import pytest

from seqrec.tokens.streams.replay import Replay
from seqrec.tokens.streams.windows import training_windows


def log(num_users, length, generator):
    items = generator.integers(0, 50, num_users * length)
    times = np.tile(np.arange(length), num_users) + 10 * np.repeat(np.arange(num_users), length)
    ends = length * np.arange(1, num_users + 1)
    return items, times, ends - length, ends


def test_windows_with_a_new_last_target_are_chosen_and_a_share_of_the_others(generator):
    items, times, starts, ends = log(4000, 9, generator)
    windows = training_windows(starts, ends, 4, "all")
    replay = Replay(since=30_000, share=0.25, seed=7)
    chosen = replay.choose(windows, items, times)
    last = times[windows.starts + windows.lengths]
    kept = set(zip(chosen.starts.tolist(), chosen.lengths.tolist(), strict=True))
    pairs = list(zip(windows.starts.tolist(), windows.lengths.tolist(), strict=True))
    is_kept = np.array([pair in kept for pair in pairs])
    assert is_kept[last >= 30_000].all() and 0 < (last >= 30_000).sum() < len(last)
    num_old = (last < 30_000).sum()
    sd = np.sqrt(0.25 * 0.75 / num_old)
    assert is_kept[last < 30_000].mean() == pytest.approx(0.25, abs=4 * sd)


def test_the_draw_does_not_depend_on_the_users_read_together(generator):
    items, times, starts, ends = log(200, 6, generator)
    replay = Replay(since=10**9, share=0.5, seed=1)
    whole = replay.choose(training_windows(starts, ends, 5, "all"), items, times)
    half = slice(600, 1200)
    later = replay.choose(
        training_windows(starts[100:] - 600, ends[100:] - 600, 5, "all"), items[half], times[half]
    )
    assert (later.starts + 600).tolist() == whole.starts[whole.starts >= 600].tolist()
    other = Replay(since=10**9, share=0.5, seed=2)
    again = other.choose(training_windows(starts, ends, 5, "all"), items, times)
    assert again.starts.tolist() != whole.starts.tolist()


def test_a_share_of_nothing_and_of_all(generator):
    items, times, starts, ends = log(50, 6, generator)
    windows = training_windows(starts, ends, 5, "prefixes")
    none, every = (Replay(10**9, share, 0).choose(windows, items, times) for share in (0.0, 1.0))
    assert len(none.starts) == 0 and len(every.starts) == len(windows.starts) == 250
