"""Arguments of public functions: what is equal counts as equal, all else is one line."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest

from seqrec.arguments import check_arguments
from seqrec.errors import SeqRecError


@check_arguments
def take(
    paths: Sequence[str | Path] = (),
    *,
    k: Sequence[int] = (10,),
    seed: int | None = None,
    share: float = 0.0,
    is_quick: bool = False,
    side: Literal["left", "right"] = "left",
    more: Sequence[str] | Mapping[str, Any] = (),
    things: Sequence[Any] = (),
) -> dict[str, Any]:
    return locals()


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("paths", "x", ["x"]),
        ("paths", Path("x"), [Path("x")]),
        ("paths", (name for name in "ab"), ["a", "b"]),
        ("k", np.int64(5), [5]),
        ("k", "5,10", [5, 10]),
        ("k", np.array([5, 10]), [5, 10]),
        ("k", pd.Series([5, 10]), [5, 10]),
        ("seed", np.int32(3), 3),
        ("seed", None, None),
        ("share", np.float32(0.5), 0.5),
        ("share", 1, 1),
        ("is_quick", np.True_, True),
        ("more", "a=1", ["a=1"]),
        ("more", {"a": 1}, {"a": 1}),
    ],
)
def test_what_means_the_same_is_taken(name, given, expected):
    taken = take(**{name: given})[name]
    assert taken == expected and type(taken) is type(expected)


def test_a_frame_is_one_thing():
    frame = pd.DataFrame({"a": [1]})
    (taken,) = take(things=frame)["things"]
    assert taken is frame


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("paths", 3),
        ("paths", None),
        ("paths", {"a": 1}),
        ("k", 5.0),
        ("k", [5.0]),
        ("k", "five"),
        ("k", True),
        ("seed", "3"),
        ("seed", 3.0),
        ("share", "0.5"),
        ("share", True),
        ("is_quick", 1),
        ("side", 3),
        ("more", 3),
    ],
)
def test_anything_else_is_one_line_that_names_the_argument(name, given):
    with pytest.raises(SeqRecError, match=rf"^{name}: .*is of type .*; give ") as error:
        take(**{name: given})
    assert "\n" not in str(error.value)
