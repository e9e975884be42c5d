import itertools
import threading
import time

import pytest

from resnets.parallel import AHEAD, in_order


def doubled(first, chunk):
    return [2 * item for item in chunk]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 100])
def test_results_come_in_order(threads, count):
    def slow_at_first(first, chunk):
        time.sleep(0.02 if first == 0 else 0)
        return [(first + i, item) for i, item in enumerate(chunk)]

    assert list(in_order(slow_at_first, iter(range(count)), threads, 4)) == [(i, i) for i in range(count)]


def test_few_items_are_spread_over_all_threads_and_chunks_grow():
    chunks = []

    def note(first, chunk):
        chunks.append((first, len(chunk)))
        return chunk

    list(in_order(note, range(40), 2, 8))
    assert [size for _, size in sorted(chunks)] == [1, 1, 2, 2, 4, 4, 8, 8, 8, 2]


def test_a_bounded_number_of_items_is_drawn_ahead():
    drawn = itertools.count()
    threads, most = 2, 4
    found = in_order(doubled, (next(drawn) for _ in range(100_000)), threads, most)
    for expected in range(50):
        assert next(found) == 2 * expected
    time.sleep(0.2)
    assert next(drawn) <= 50 + most * threads * (AHEAD + 1)
    found.close()


def test_an_error_of_the_work_comes_after_all_earlier_results():
    def work(first, chunk):
        if 20 in chunk:
            raise ValueError("twenty")
        return chunk

    before = []
    with pytest.raises(ValueError, match="twenty"):
        before.extend(in_order(work, range(100), 3, 4))
    assert before == list(range(17))  # chunks of three threads: 1 1 1 2 2 2 4 4 4


def test_an_error_of_the_items_comes_after_all_earlier_results():
    def items():
        yield from range(10)
        raise ValueError("torn")

    seen = []
    with pytest.raises(ValueError, match="torn"):
        seen.extend(in_order(doubled, items(), 2, 4))
    assert seen == [2 * i for i in range(10)]


def test_closing_ends_the_threads():
    before = threading.active_count()
    found = in_order(doubled, itertools.count(), 3, 4)
    next(found)
    found.close()
    assert threading.active_count() == before
