"""What a class does to the kernel, in short; `cargo xtask bench load` does it at length."""

import pytest
from load import load


@pytest.mark.parametrize("what, n", [("restarts", 1), ("kills", 1)])
def test_all_ends_right_and_leaves_nothing(what, n):
    load(what, n)
