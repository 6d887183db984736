"""Testing a net, on one view of each image or on several, and writing its features."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np

from convnet import report
from convnet.checkpoint import write_atomically
from convnet.errors import BatchError, ConvnetError, NonFiniteError, OptionError
from convnet.graph import Graph
from convnet.layer_types.cost import LogregCost
from convnet.net import Costs, Matrices, Net
from convnet.options import Options
from convnet.train.session import Session
from data_providers.pickle_writer import write_pickle
from data_providers.prefetch import Prefetcher

Sums = dict[str, list[float]]


def minibatches(matrices: Matrices, net: Net) -> Iterator[list[np.ndarray]]:
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


def loaded_batches(session: Session, numbers: Sequence[int]) -> Iterator[tuple[int, Matrices]]:
    """Number and matrices of each test batch, loaded in the background and checked."""
    sequence = ((1, number) for number in numbers)
    with Prefetcher(session.test_data, sequence) as batches:
        for _, number, matrices in batches:
            check_batch(session.net, matrices, number)
            yield number, matrices


def test_batch(session: Session, number: int, matrices: Matrices) -> tuple[Sums, int]:
    """The sums of all costs over a test batch, and its number of images.

    With several views per image the predictions are averaged first, and only cost.logreg is
    computed. With --test-out the predictions are written.

    Raises:
        NonFiniteError: naming the batch and the first layer with a NaN or infinity.
    """
    net, views = session.net, session.test_data.num_views
    cases = matrices[0].shape[1] // views
    by_view = [[m[:, view * cases : (view + 1) * cases] for m in matrices] for view in range(views)]
    sums: Sums = {}
    wanted = output_cost(session) if session.options.test_out else None
    predictions = []
    try:
        for parts in zip(*(minibatches(view, net) for view in by_view), strict=True):
            if views > 1:
                means = mean_predictions(net, parts)
                costs = {c.name: net.cost_values(c, parts[0], means[c]) for c in means}
            else:
                costs = net.finite_costs(parts[0])
                means = _predictions(net) if wanted else {}
            add_costs(sums, reported(net, costs))
            if wanted:
                predictions.append(means[wanted].reshape(-1, parts[0][0].shape[1]))
    except NonFiniteError as error:
        raise NonFiniteError(f"test batch {number}: {error}") from None
    if wanted:
        _write_predictions(session, number, np.concatenate(predictions, axis=1).T)
    return sums, cases


def logreg_costs(graph: Graph) -> list[LogregCost]:
    return [layer for layer in graph.values() if isinstance(layer, LogregCost)]


def _predictions(net: Net) -> dict[LogregCost, np.ndarray]:
    """What the net predicted in its last pass, by cost."""
    return {cost: net.activity(cost.inputs[1].name) for cost in logreg_costs(net.graph)}


def mean_predictions(net: Net, views: Sequence[Matrices]) -> dict[LogregCost, np.ndarray]:
    """The predictions averaged over views of the same images, by cost."""
    means: dict[LogregCost, np.ndarray] = {}
    for view in views:
        net.finite_costs(view)
        for cost, predictions in _predictions(net).items():
            means[cost] = means.get(cost, 0) + predictions / len(views)
    return means


def output_cost(session: Session) -> LogregCost:
    """The cost whose predictions --test-out writes: that of --logreg-name, or the only one.

    Raises:
        OptionError: there is no such cost, or there are several.
    """
    costs = {cost.name: cost for cost in logreg_costs(session.net.graph)}
    name = session.options.logreg_name
    if not name and len(costs) == 1:
        (name,) = costs
    if name not in costs:
        known = ", ".join(costs) or "none"
        raise OptionError(
            f"--test-out writes the predictions of one cost.logreg layer, named by --logreg-name; "
            f"the net has {known}, found '{name}'"
        )
    return costs[name]


def _write_predictions(session: Session, number: int, predictions: np.ndarray) -> None:
    """test_preds_<number>: float32 (images, classes).

    Raises:
        ConvnetError: the file cannot be written.
    """
    options = session.options
    values = np.ascontiguousarray(predictions, np.float32)
    path = Path(options.test_out) / f"test_preds_{number}"
    if options.feature_format == "npz":
        path = path.with_name(f"{path.name}.npz")
        content = BytesIO()
        np.savez(content, predictions=values)
        _write(path, content.getvalue(), "predictions")
    else:
        note = f"generated from {options.load_file}"
        _write(path, write_pickle({"data": values, "note": note}), "predictions")


def test_batches(session: Session, numbers: Sequence[int], *, verbose: bool) -> tuple[Sums, int]:
    """The sums of all costs over several test batches, and the number of images.

    Args:
        verbose: print a line for each batch.
    """
    sums: Sums = {}
    total = 0
    started = time.perf_counter()
    for number, matrices in loaded_batches(session, numbers):
        costs, cases = test_batch(session, number, matrices)
        add_costs(sums, costs)
        total += cases
        if verbose:
            seconds = time.perf_counter() - started
            report.text(f"batch {number}: ({costs}, {cases}) ({seconds:.3f} sec)")
            started = time.perf_counter()
    return sums, total


def test_only(session: Session) -> None:
    """Tests on the whole test range and prints the results of each batch and of all."""
    sums, total = test_batches(session, session.options.test_range, verbose=True)
    statistics = report.weight_statistics(session.net.state(), session.net.graph)
    saved = str(session.save()) if session.options.force_save else ""
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
    for number, matrices in loaded_batches(session, options.test_range):
        parts = []
        for part in minibatches(matrices, net):
            net.finite_costs(part)
            parts.append(net.activity(name).reshape(-1, part[0].shape[1]).T)
        features = np.ascontiguousarray(np.concatenate(parts), np.float32)
        size = features.shape[1]
        labels = {"labels": matrices[1]} if len(matrices) > 1 else {}
        if options.feature_format == "npz":
            file = directory / f"data_batch_{number}.npz"
            content = BytesIO()
            np.savez(content, features=features, **{name: m[0] for name, m in labels.items()})
            _write(file, content.getvalue())
        else:
            file = directory / f"data_batch_{number}"
            _write(file, write_pickle({"data": features} | labels))
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
        _write(directory / "features.json", json.dumps(manifest, indent=1).encode())
    else:
        meta = {"source_model": options.load_file, "num_vis": size, "batch_size": options.mini}
        _write(directory / "batches.meta", write_pickle(meta))


def _write(path: Path, content: bytes, what: str = "features") -> None:
    try:
        write_atomically(path, content)
    except OSError as error:
        raise ConvnetError(f"{path}: cannot write the {what}: {error.strerror}") from None


def check_feature_layer(graph: Graph, name: str) -> None:
    """Raises: OptionError if the net has no such layer, or it has no output."""
    known = [layer.name for layer in graph.values() if layer.has_output]
    if name not in known:
        raise OptionError(
            f"--write-features: no layer with output '{name}'; the net has {', '.join(known)}"
        )
