import pytest

from tests.one_node_slurm import write_cluster
from tfm.core.errors import SettingsError
from tfm.core.runs.cluster import EXAMPLE, list_clusters, load_cluster


def test_the_example_is_a_valid_cluster_but_not_one_that_a_person_has_set_up(workspace):
    assert load_cluster(workspace, EXAMPLE).time == 24 * 60
    assert list_clusters(workspace) == []


def test_a_cluster_is_named_by_its_file_in_the_workspace(workspace):
    write_cluster(workspace, partition="gpu", time=90)
    assert list_clusters(workspace) == ["ours"]
    assert load_cluster(workspace, "ours").partition == "gpu"


@pytest.mark.parametrize(("given", "minutes"), [(90, 90), ("1:30:00", 90), ("2-00:00:00", 2880), ("0:04:30", 5)])
def test_a_time_is_given_in_minutes_or_as_slurm_writes_it(workspace, given, minutes):
    write_cluster(workspace, time=given)
    assert load_cluster(workspace, "ours").time == minutes


@pytest.mark.parametrize(
    ("written", "minutes"), [("24:00:00", 24 * 60), ("08:00:00", 8 * 60), ('"1:30:00"', 90), ("90", 90)]
)
def test_a_time_need_not_be_quoted(workspace, written, minutes):
    write_cluster(workspace, time="TIME")
    file = workspace.root / "clusters" / "ours.yaml"
    file.write_text(file.read_text().replace("TIME", written))
    assert load_cluster(workspace, "ours").time == minutes


@pytest.mark.parametrize(
    ("settings", "word"),
    [({"gpu": 1}, "gpus"), ({"time": "soon"}, "time"), ({"time": 2, "signal_seconds": 120}, "signal_seconds")],
)
def test_a_mistake_in_a_cluster_is_told_with_its_file(workspace, settings, word):
    write_cluster(workspace, **settings)
    with pytest.raises(SettingsError) as caught:
        load_cluster(workspace, "ours")
    assert "ours.yaml" in caught.value.message
    assert word in caught.value.message + caught.value.hint
