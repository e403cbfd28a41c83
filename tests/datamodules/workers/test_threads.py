import threading
import time

import pytest

from datamodules.workers.threads import PREFETCHED, prefetch


def test_in_order_and_from_another_thread():
    threads = set()

    def values():
        for n in range(20):
            threads.add(threading.current_thread())
            yield n

    assert list(prefetch(values())) == list(range(20))
    assert len(threads) == 1 and threading.main_thread() not in threads


def test_fetches_ahead_but_not_far():
    fetched = []

    def values():
        for n in range(50):
            fetched.append(n)
            yield n

    found = prefetch(values())
    assert next(found) == 0
    end = time.monotonic() + 5
    while len(fetched) < 1 + PREFETCHED and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.05)
    # Those that wait, the one that was taken, and one in the thread's hand.
    assert 1 + PREFETCHED <= len(fetched) <= 2 + PREFETCHED
    found.close()


def test_errors_reach_the_one_who_waits():
    def values():
        yield 1
        raise OSError("the disk is gone")

    found = prefetch(values())
    assert next(found) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(found)


@pytest.mark.parametrize("taken", [0, 1, 3])
def test_the_thread_ends_with_an_iterator_that_is_left(taken):
    before = threading.active_count()
    found = prefetch(iter(range(1000)))
    for _ in range(taken):
        next(found)
    found.close()
    assert threading.active_count() == before


def test_nothing():
    assert list(prefetch(iter(()))) == []
