"""Taking turns between connections: nobody is forgotten, nobody is before his turn."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocs.service.batches.fairness import FairLanes

FAR = 1 << 60


class Request(NamedTuple):
    peer: str
    deadline_ns: int = FAR


class Job(NamedTuple):
    number: int
    request: Request


def jobs(peers, deadline_ns=FAR):
    return [Job(number, Request(peer, deadline_ns)) for number, peer in enumerate(peers)]


@pytest.mark.rule("B-009")
@given(
    st.lists(st.sampled_from("abcdefgh"), max_size=60),
    st.lists(st.integers(1, 20), min_size=1, max_size=10),
)
def test_every_job_is_taken_once_in_the_order_of_its_connection_and_fairly(peers, rooms):
    lanes: FairLanes[Job] = FairLanes()
    lanes.add(jobs(peers))
    taken: list[Job] = []
    turn = 0
    while lanes.size:
        room = rooms[turn % len(rooms)]
        turn += 1
        waiting = {peer: lanes.waiting_of(peer) for peer in set(peers)}
        batch, old = lanes.take(room, 0)
        assert not old and len(batch) == min(room, sum(waiting.values()))
        got = {peer: sum(job.request.peer == peer for job in batch) for peer in waiting}
        for peer, count in got.items():
            if count < waiting[peer]:
                # Who has to wait got at most one less than anybody else did.
                assert count >= max(got.values()) - 1
        taken += batch
    assert lanes.peers == 0
    for peer in set(peers):
        numbers = [job.number for job in taken if job.request.peer == peer]
        assert numbers == [number for number, one in enumerate(peers) if one == peer]


def test_what_is_too_old_takes_no_room():
    lanes: FairLanes[Job] = FairLanes()
    lanes.add(jobs("aaab", deadline_ns=5))
    lanes.add(jobs("aabb", deadline_ns=20))
    batch, old = lanes.take(2, 10)
    assert sorted(job.request.peer for job in batch) == ["a", "b"]
    assert len(old) == 4
    assert lanes.size == 2


def test_the_newest_of_a_connection_beyond_its_share_can_be_taken_back():
    lanes: FairLanes[Job] = FairLanes()
    lanes.add(jobs("abbbc"))
    victim = lanes.take_newest_beyond(2)
    assert victim is not None and victim.number == 3
    assert lanes.take_newest_beyond(2) is None
    assert lanes.size == 4
    assert {lanes.take_newest_beyond(0) is not None for _ in range(4)} == {True}
    assert lanes.size == lanes.peers == 0


def test_what_is_unwanted_leaves_the_rest_in_order():
    lanes: FairLanes[Job] = FairLanes()
    lanes.add(jobs("ababab"))
    taken = lanes.take_if(lambda job: job.number % 3 == 0)
    assert sorted(job.number for job in taken) == [0, 3]
    batch, _ = lanes.take(10, 0)
    assert [job.number for job in batch if job.request.peer == "a"] == [2, 4]
    assert lanes.size == lanes.peers == 0
