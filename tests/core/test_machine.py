"""What a machine is said to have is what a run may use of it."""

from tfm.core import machine


def test_memory_is_what_a_container_may_have_of_the_machines(tmp_path, monkeypatch):
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(machine, "CONTAINER_LIMIT_FILES", (str(limit),))
    whole = machine.read_memory_gib()
    assert whole is not None
    for unlimited in ("max\n", f"{2**63 - 4096}\n"):
        limit.write_text(unlimited)
        assert machine.read_memory_gib() == whole
    limit.write_text(f"{2**28}\n")
    assert machine.read_memory_gib() == 0.25
