"""Testing a net, on one view of each image or on several, and writing its features."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import groupby
from pathlib import Path

import numpy as np

from convnet import report
from convnet.checkpoint import write_atomically
from convnet.errors import BatchError, ConvnetError, NonFiniteError, OptionError
from convnet.graph import Graph
from convnet.layer_types.cost import LogregCost
from convnet.layer_types.data import Matrices
from convnet.net import Costs, Net
from convnet.options import Options
from convnet.train.session import Session
from data_providers.pickle_writer import write_pickle
from data_providers.prefetch import Prefetcher

Sums = dict[str, list[float]]


def minibatches(matrices: Matrices, net: Net) -> Iterator[Matrices]:
    """The batch cut into minibatches, in order; the last may be smaller."""
    for start in range(0, matrices[0].shape[1], net.batch_size):
        yield [m[:, start : start + net.batch_size] for m in matrices]


def add_costs(sums: Sums, costs: Mapping[str, Collection[float]]) -> None:
    """Adds the values of a minibatch to the sums of its batch, or those of a batch to a total."""
    for name, values in costs.items():
        before = sums.get(name, [0.0] * len(values))
        sums[name] = [float(a + b) for a, b in zip(before, values, strict=True)]


def reported(net: Net, costs: Costs) -> Costs:
    """The costs as they are reported: the values of children are added to their parents'."""
    layers = [cost for cost in net.costs if cost.name in costs and not cost.is_child]
    return {
        cost.name: np.sum([costs[member.name] for member in cost.family], axis=0) for cost in layers
    }


def check_batch(net: Net, matrices: Matrices, number: int) -> int:
    """The number of images of a batch.

    Raises:
        BatchError: naming the batch, if it does not fit the net.
    """
    try:
        return net.check_data(matrices)
    except BatchError as error:
        raise BatchError(f"batch {number}: {error}") from None


def test_numbers(options: Options, tests_done: int) -> list[int]:
    """The batches of the next test: the next one in turn with --test-one, else all."""
    numbers = options.test_range
    return [numbers[tests_done % len(numbers)]] if options.test_one else numbers


@dataclass(frozen=True)
class Tested:
    """What a net said of a test batch.

    Attributes:
        number: of the batch.
        costs: their sums over the images; with several views per image those of each cost.logreg,
            computed from the mean predictions, and no others.
        cases: the number of images.
        predictions: for each cost.logreg what it judges, the mean over the views, (classes,
            images), by the name of that layer.
        labels: for each cost.logreg the right classes, (images,), by the name of their layer.
    """

    number: int
    costs: Sums
    cases: int
    predictions: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]


def tested_batches(session: Session, numbers: Sequence[int]) -> Iterator[Tested]:
    """Tests the net on some batches, whose views are loaded one by one in the background.

    Raises:
        BatchError, NonFiniteError: see test_batch.
    """
    data = session.test_data
    sequence = ((number, view) for number in numbers for view in range(data.num_views))
    with Prefetcher(data.load_view, sequence) as loaded:
        for number, views in groupby(loaded, key=lambda item: item[0]):
            yield test_batch(session, number, (matrices for _, _, matrices in views))


def test_batch(session: Session, number: int, views: Iterable[Matrices]) -> Tested:
    """Tests the net on a batch.

    Args:
        number: of the batch.
        views: all of its images, or of some of them.

    Raises:
        BatchError: naming the batch, if it does not fit the net.
        NonFiniteError: naming the batch and the first layer with a NaN or infinity.
    """
    net, count = session.net, session.test_data.num_views
    judged = {cost: cost.inputs[1].name for cost in logreg_costs(net.graph)}
    means: dict[str, np.ndarray] = {}
    sums: Sums = {}
    for matrices in views:
        cases = check_batch(net, matrices, number)
        found: dict[str, list[np.ndarray]] = {name: [] for name in judged.values()}
        for part in minibatches(matrices, net):
            try:
                add_costs(sums, reported(net, net.finite_costs(part)))
            except NonFiniteError as error:
                raise NonFiniteError(f"test batch {number}: {error}") from None
            for name, parts in found.items():
                parts.append(net.activity(name).reshape(-1, part[0].shape[1]))
        for name, parts in found.items():
            means[name] = means.get(name, 0) + np.concatenate(parts, axis=1) / count
    if count > 1:
        sums = {}
        averaged = {c.name: net.cost_values(c, matrices, means[name]) for c, name in judged.items()}
        add_costs(sums, reported(net, averaged))
    labels = {cost.labels.name: cost.labels.read(matrices)[0] for cost in judged}
    return Tested(number, sums, cases, means, labels)


def logreg_costs(graph: Graph) -> list[LogregCost]:
    return [layer for layer in graph.values() if isinstance(layer, LogregCost)]


def output_layer(session: Session) -> str:
    """The layer whose predictions --test-out writes: what the cost of --logreg-name judges.

    Raises:
        OptionError: there is no such cost; or none is named, and they judge several layers.
    """
    name = session.options.logreg_name
    costs = {cost.name: cost.inputs[1].name for cost in logreg_costs(session.net.graph)}
    layers = {layer for cost, layer in costs.items() if name in ("", cost)}
    if len(layers) != 1:
        raise OptionError(
            f"--logreg-name: expected a cost.logreg layer, whose predictions --test-out writes; "
            f"the net has {', '.join(costs) or 'none'}, found '{name}'"
        )
    return layers.pop()


def _write_predictions(session: Session, number: int, predictions: np.ndarray) -> None:
    """test_preds_<number>: float32 (images, classes).

    Raises:
        ConvnetError: the file cannot be written.
    """
    options = session.options
    values = np.ascontiguousarray(predictions.T, np.float32)
    path = Path(options.test_out) / f"test_preds_{number}"
    if options.feature_format == "npz":
        write_npz(path.with_name(f"{path.name}.npz"), "predictions", predictions=values)
    else:
        content = {"data": values, "note": f"generated from {options.load_file}"}
        write_file(path, "predictions", write_pickle(content))


def test_batches(session: Session, numbers: Sequence[int], *, verbose: bool) -> tuple[Sums, int]:
    """The sums of all costs over several test batches, and the number of images.

    With --test-out the predictions are written.

    Args:
        verbose: print a line for each batch.

    Raises:
        BatchError, NonFiniteError: see test_batch.
        ConvnetError: a file cannot be written.
    """
    wanted = output_layer(session) if session.options.test_out else ""
    sums: Sums = {}
    total = 0
    started = time.perf_counter()
    for tested in tested_batches(session, numbers):
        if wanted:
            _write_predictions(session, tested.number, tested.predictions[wanted])
        add_costs(sums, tested.costs)
        total += tested.cases
        if verbose:
            seconds = time.perf_counter() - started
            report.text(
                f"batch {tested.number}: ({tested.costs}, {tested.cases}) ({seconds:.3f} sec)"
            )
            started = time.perf_counter()
    return sums, total


def test_only(session: Session) -> None:
    """Tests on the whole test range and prints the results of each batch and of all."""
    sums, total = test_batches(session, session.options.test_range, verbose=True)
    weights = session.net.state()
    statistics = report.weight_statistics(weights, session.net.graph)
    saved = str(session.save(weights)) if session.options.force_save else ""
    report.print_test(session.cost_text(sums, total), weights=statistics, saved=saved)


def write_features(session: Session) -> None:
    """Writes the output of a layer for each test batch, and a description of them.

    npz: data_batch_<n>.npz with `features` float32 (images, numbers) and `labels` (images,),
    and features.json. pickle: the files of cuda-convnet, data_batch_<n> and batches.meta. Data
    without labels give files without `labels`.

    Raises:
        NonFiniteError: a cost is NaN or infinite.
        ConvnetError: a file cannot be written.
    """
    options, net = session.options, session.net
    name, directory = options.write_features, Path(options.feature_path)
    files: dict[str, str] = {}
    size = 0
    with Prefetcher(session.test_data.load_view, ((n, 0) for n in options.test_range)) as batches:
        for number, _, matrices in batches:
            check_batch(net, matrices, number)
            parts = []
            for part in minibatches(matrices, net):
                net.finite_costs(part)
                parts.append(net.activity(name).reshape(-1, part[0].shape[1]).T)
            features = np.ascontiguousarray(np.concatenate(parts), np.float32)
            size = features.shape[1]
            labels = {"labels": np.asarray(matrices[1])} if len(matrices) > 1 else {}
            file = directory / f"data_batch_{number}"
            if options.feature_format == "npz":
                file = file.with_name(f"{file.name}.npz")
                first_rows = {key: matrix[0] for key, matrix in labels.items()}
                write_npz(file, "features", features=features, **first_rows)
            else:
                write_file(file, "features", write_pickle({"data": features} | labels))
            files[str(number)] = file.name
            report.text(f"Wrote feature file {file}")
    if options.feature_format == "npz":
        manifest = {
            "source_model": options.load_file,
            "layer": name,
            "numbers": size,
            "label_names": list(session.test_data.label_names),
            "batches": files,
        }
        write_json(directory / "features.json", "features", manifest)
    else:
        meta = {"source_model": options.load_file, "num_vis": size, "batch_size": options.mini}
        write_file(directory / "batches.meta", "features", write_pickle(meta))
    if options.force_save:
        report.text(f"Saved checkpoint to {session.save()}")


def write_npz(path: Path, what: str, **arrays: np.ndarray) -> None:
    """Raises: ConvnetError if the file cannot be written."""
    content = BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    write_file(path, what, content.getvalue())


def write_json(path: Path, what: str, values: Mapping[str, object]) -> None:
    """Raises: ConvnetError if the file cannot be written."""
    write_file(path, what, json.dumps(values, indent=1).encode())


def write_file(path: Path, what: str, content: bytes) -> None:
    """Writes a file that is whole or not there.

    Args:
        what: is in it, for the message.

    Raises:
        ConvnetError: it cannot be written.
    """
    try:
        write_atomically(path, content)
    except OSError as error:
        raise ConvnetError(f"{path}: cannot write the {what}: {error.strerror}") from None


def check_feature_layer(graph: Graph, name: str, option: str = "--write-features") -> None:
    """Raises: OptionError, naming the option, if the net has no such layer, or it has no output."""
    known = [layer.name for layer in graph.values() if layer.has_output]
    if name not in known:
        raise OptionError(
            f"{option}: no layer with output '{name}'; the net has {', '.join(known)}"
        )
