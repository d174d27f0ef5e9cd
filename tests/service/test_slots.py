from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from core.queue.slots import Gate


def test_a_host_has_as_many_slots_as_it_is_told(tmp_path: Path) -> None:
    gates = [Gate("encoding", tmp_path, 2) for _ in range(3)]

    assert [gate.enter() for gate in gates] == [True, True, False]
    gates[0].leave(served=True)
    assert gates[2].enter()


def test_a_gate_lets_one_message_through_at_a_time(tmp_path: Path) -> None:
    gate = Gate("encoding", tmp_path, 2)

    assert [gate.enter(), gate.enter()] == [True, False]


def test_encoding_and_transcribing_do_not_share_slots(tmp_path: Path) -> None:
    assert Gate("encoding", tmp_path, 1).enter()
    assert Gate("transcripting", tmp_path, 1).enter()


def test_the_slot_of_a_killed_process_is_free_at_once(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from core.queue.slots import Gate\n"
        "gate = Gate('encoding', Path(sys.argv[1]), 1); print(gate.enter(), flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout
    assert holder.stdout.readline() == "True\n"
    gate = Gate("encoding", tmp_path, 1)
    assert not gate.enter()

    holder.kill()
    holder.wait()
    holder.stdout.close()

    assert gate.enter()


def test_a_less_urgent_queue_gets_its_turn(tmp_path: Path) -> None:
    gate = Gate("encoding", tmp_path, 1)
    first = []
    for _ in range(16):
        first.append([queue for queue in ("encoding", "encoding.low") if gate.goes_first(queue)])
        gate.enter()
        gate.leave(served=True)

    assert sum("encoding" in one for one in first) == 4
    assert sum("encoding.low" in one for one in first) == 2
