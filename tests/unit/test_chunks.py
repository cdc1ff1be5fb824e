"""A large batch in chunks: nothing lost, nothing twice, and few of them."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.functions.sync import CHUNK, chunks

sizes = st.integers(0, 20_000)


@given(sizes)
def test_chunks_are_the_batch_in_order(size: int) -> None:
    records = list(range(size))
    assert [record for chunk in chunks(records) for record in chunk] == records


@given(st.integers(0, 2 * CHUNK - 1))
def test_a_small_batch_is_one_chunk(size: int) -> None:
    assert len(chunks(range(size))) == 1


@given(sizes)
def test_chunks_grow(size: int) -> None:
    *all_but_the_last, last = [len(chunk) for chunk in chunks(range(size))]
    assert all_but_the_last == [CHUNK * (number + 1) for number in range(len(all_but_the_last))]
    assert len(all_but_the_last) == 0 or last >= CHUNK
    assert last < CHUNK * (len(all_but_the_last) + 2)
