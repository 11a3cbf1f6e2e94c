"""What processes cost, as /proc tells it."""

import os
import subprocess
import sys
import time

from benchmarks.processes import cpu_seconds, resident_octets

BURN = "sum(i * i for i in range(3_000_000)); print('burnt', flush=True); input()"


def test_our_own_time_is_what_the_clock_says():
    sum(i * i for i in range(1_000_000))
    assert abs(cpu_seconds(os.getpid()) - sum(os.times()[:4])) < 0.5
    assert time.process_time() > 0


def test_children_count_while_they_run_and_when_they_have_ended():
    before = cpu_seconds(os.getpid(), family=True)
    with subprocess.Popen(
        [sys.executable, "-c", BURN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "burnt\n"
        own = cpu_seconds(child.pid)
        assert own > 0.05
        assert resident_octets(child.pid) > 1_000_000
        assert cpu_seconds(os.getpid(), family=True) >= before + own
        child.communicate("\n")
    assert cpu_seconds(os.getpid()) >= own


def test_a_process_that_is_gone_costs_nothing():
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    assert cpu_seconds(child.pid) == 0.0
    assert resident_octets(child.pid) == 0
