"""What a training leaves behind, in a form that can be compared bit for bit."""

from collections.abc import Callable, Iterable
from typing import Any

from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from tests.returned import returned
from tests.training.small_training import SmallTrainings, train_to_end
from tfm.core.events import Progress
from tfm.training.checkpoint import Checkpoints, read_checkpoint
from tfm.training.inference import predict_logits
from tfm.training.loop import run_training
from tfm.training.results import flatten_checkpoint, list_differing_places, read_training_results

Results = dict[str, object]


def list_differences(run, other) -> list[str]:
    """List the files of two finished runs that differ, and each differing tensor or number of their checkpoints."""
    one, two = read_training_results(run), read_training_results(other)
    return [place for part in one for place in list_differing_places(one[part], two[part])]


def flatten_learner(learner) -> list[bytes]:
    """List the bytes of all fitted arrays."""
    if isinstance(learner, RandomForestClassifier):
        trees = [tree.tree_ for tree in learner.estimators_]
        parts = ("children_left", "children_right", "feature", "threshold", "value")
        return [getattr(tree, part).tobytes() for tree in trees for part in parts]
    if isinstance(learner, HistGradientBoostingClassifier):
        return [tree.nodes.tobytes() for (tree,) in learner._predictors]
    return [learner[-1].coef_.tobytes(), learner[-1].intercept_.tobytes()]


def train_with_stops(
    trainings: SmallTrainings,
    given: dict[str, Any],
    preset: dict[str, Any] | None,
    stops: Iterable[int] = (),
    lose: Callable[[dict[str, Any]], None] | None = None,
) -> Results:
    """Train, stopping after these numbers of steps and building the training anew from its checkpoint each time.

    There must be two steps in an epoch. `lose` changes each checkpoint from which training continues.
    """
    folder = trainings.new_folder()
    for stop in stops:
        training = trainings.make(given, preset)
        checkpoints = Checkpoints(folder, seconds=0, key="a key")
        for event in run_training(training, checkpoints, folder / "metrics.csv"):
            if isinstance(event, Progress) and event.name == "step" and training.state.step == stop:
                break
        content = read_checkpoint(folder / "last.pt")
        assert content["standing"]["step"] == stop
        if lose:
            lose(content)
            checkpoints.save(content)
    training = train_to_end(trainings.make(given, preset), folder)
    logits = returned(predict_logits(training.task, training.evaluated_network, training.val, 4, "val", tta=True))
    results: Results = {"metrics": (folder / "metrics.csv").read_bytes(), "predictions": logits.numpy().tobytes()}
    for name in ("best", "last"):
        results |= flatten_checkpoint(read_checkpoint(folder / f"{name}.pt"), name)
    return results


def list_unequal(one: Results, other: Results) -> list[str]:
    return sorted(place for place in one.keys() | other.keys() if one.get(place) != other.get(place))
