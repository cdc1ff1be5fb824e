"""A large batch in parts: nothing lost, nothing twice, and few of them."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.functions.sync import PART, parts

sizes = st.integers(0, 20_000)


@given(sizes)
def test_parts_are_the_batch_in_order(size):
    records = list(range(size))
    assert [record for part in parts(records) for record in part] == records


@given(st.integers(0, 2 * PART - 1))
def test_a_small_batch_is_one_part(size):
    assert len(parts(range(size))) == 1


@given(sizes)
def test_parts_grow(size):
    *all_but_the_last, last = [len(part) for part in parts(range(size))]
    assert all_but_the_last == [PART * (number + 1) for number in range(len(all_but_the_last))]
    assert len(all_but_the_last) == 0 or last >= PART
    assert last < PART * (len(all_but_the_last) + 2)
