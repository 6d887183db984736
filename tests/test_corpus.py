"""Layer files that people wrote for cuda-convnet and its forks: what becomes of each.

They are not part of the project: CONVNET_TEST_CORPUS names a folder with such files and their
INDEX.tsv. The table tests/corpus.tsv has a row for every file:

    definition  builds: the shapes of the data that fit, the number of parameters, the parameter
                file that goes with it, and what is read leniently, as the original ignored it;
                or refused: why, and why the original refuses it
    parameters  the definition that it goes with, or why there is none

`python -m tests.test_corpus` writes the table anew; causes of refusals stay, new ones are to be
written by hand.
"""

from __future__ import annotations

import csv
import difflib
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from convnet.api import infer_shapes, make_ops, read_graph
from convnet.config.reader import Source, read_sections
from convnet.errors import ConfigError, Problems
from convnet.graph import Graph
from convnet.layer_types.data import DataLayer
from convnet.net import Net
from convnet.recording import graph_parameters

CORPUS = Path(os.environ.get("CONVNET_TEST_CORPUS", Path(__file__).parents[1] / "../shared/corpus"))
TABLE = Path(__file__).with_suffix("").with_name("corpus.tsv")
needs_corpus = pytest.mark.skipif(
    not (CORPUS / "INDEX.tsv").exists(),
    reason="no layer files with INDEX.tsv in CONVNET_TEST_CORPUS",
)
LARGE = 3 * 10**6  # parameters, from which on a step takes seconds
# Nets for the gradient check, whose large weights give a probability of 0 on larger images: their
# authors ran them on dummy-cn-192.
TINY_IMAGES = {
    "ulrichstern_cuda-convnet__example-layers_layers.gc.cfg": ((3, 8, 8), (1, 1, 1)),
    "hunse_cuda-convnet2__layers_layers-grad.cfg": ((3, 8, 8), (1, 1, 1)),
}


Shapes = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Row:
    """What becomes of a file; see the head of this module."""

    file: str
    kind: str
    verdict: str
    data: str = ""
    parameters: str = ""
    partner: str = ""
    cause: str = ""


def index() -> list[dict[str, str]]:
    with (CORPUS / "INDEX.tsv").open() as file:
        return list(csv.DictReader(file, delimiter="\t"))


def rows() -> list[Row]:
    with TABLE.open() as file:
        return [Row(**row) for row in csv.DictReader(file, delimiter="\t")]


@cache
def shapes_of(definition: str) -> Shapes:
    return tuple(infer_shapes(CORPUS / definition, lenient=True))


def build(
    definition: str, parameters: str = "", shapes: Shapes | None = None
) -> tuple[Graph, list[str]]:
    """The net and what was read leniently."""
    problems = Problems()
    graph = read_graph(
        CORPUS / definition,
        CORPUS / parameters if parameters else None,
        shapes or shapes_of(definition),
        lenient=True,
        problems=problems,
    )
    return graph, problems.warnings


def pairs(kind: str) -> dict[str, str]:
    """The partner of each definition (kind "def") or of each parameter file that has one.

    Of the files of the same people, one with all that the definition needs, and the most similar
    name.
    """

    def plain(name: str) -> str:
        return name.replace("layer-params", "layers").replace("params", "def")

    def likeness(one: str, other: str) -> float:
        return difflib.SequenceMatcher(None, plain(one), plain(other)).ratio()

    found: dict[str, list[str]] = {}
    by_people: dict[str, dict[str, list[str]]] = {}
    for entry in index():
        people = by_people.setdefault(entry["repo"], {"def": [], "params": []})
        people[entry["kind"]].append(entry["corpus file"])
    for people in by_people.values():
        for definition in people["def"]:
            for parameters in people["params"]:
                try:
                    build(definition, parameters)
                except ConfigError:
                    continue
                one, other = definition, parameters
                if kind == "params":
                    one, other = other, one
                found.setdefault(one, []).append(other)
    return {name: max(others, key=lambda o: likeness(name, o)) for name, others in found.items()}


def reason(error: ConfigError) -> str:
    """The first line, without the place."""
    first = str(error).splitlines()[0]
    return first.partition(": ")[2] if first.startswith(str(CORPUS)) else first


def found_rows() -> Iterator[Row]:
    """The table as the program makes it, without causes."""
    partners = {kind: pairs(kind) for kind in ("def", "params")}
    for entry in index():
        name, kind = entry["corpus file"], entry["kind"]
        partner = partners[kind].get(name, "")
        if kind == "params":
            problems = Problems()
            read_sections(Source.from_path(CORPUS / name), problems)
            verdict = "unreadable" if problems else "completes a net" if partner else "alone"
            yield Row(name, "parameters", verdict, partner=partner)
            continue
        try:
            graph, warnings = build(name, partner)
        except ConfigError as error:
            yield Row(name, "definition", "refused: " + reason(error))
            continue
        size = sum(rows * columns for rows, columns in (p.shape for p in graph_parameters(graph)))
        texts = (w.partition(": ")[2].partition("; ")[0] for w in warnings)
        ignored = dict.fromkeys(texts)
        yield Row(
            name,
            "definition",
            "builds",
            ",".join("x".join(map(str, shape)) for shape in shapes_of(name)),
            str(size),
            partner,
            "; ".join(ignored),
        )


@needs_corpus
def test_every_file_has_its_row() -> None:
    expected = {row.file: row for row in rows()}
    for row in found_rows():
        wanted = asdict(expected[row.file])
        got = asdict(row)
        if row.verdict != "builds":  # then the cause is written by hand
            assert wanted.pop("cause"), f"{row.file}: no verdict without a cause"
            got.pop("cause")
        assert got == wanted, row.file
    assert expected.keys() == {entry["corpus file"] for entry in index()}


def trained() -> list[pytest.ParameterSet]:
    complete = [row for row in rows() if row.kind == "definition" and row.partner]
    return [
        pytest.param(
            row, id=row.file, marks=[pytest.mark.slow] if int(row.parameters) > LARGE else []
        )
        for row in complete
    ]


@needs_corpus
@pytest.mark.parametrize("row", trained())
def test_one_step_of_a_complete_pair(row: Row) -> None:
    shapes = TINY_IMAGES.get(row.file) or shapes_of(row.file)
    graph, _ = build(row.file, row.partner, shapes)
    net = Net(graph, make_ops("cpu"), batch_size=2)
    before = net.state()
    costs = net.train_step(dummy_data(graph, shapes, 2))
    assert costs
    after = net.state()
    assert all(np.isfinite(values).all() for values in after.values())
    rates = [p for p in graph_parameters(graph) if p.rate is not None and p.rate.base > 0]
    assert any((after[p.name] != before[p.name]).any() for p in rates) or not rates


def dummy_data(graph: Graph, shapes: Shapes, cases: int) -> list[np.ndarray]:
    """Random numbers; zeros and ones where there is one number per image, or for each class."""
    generator = np.random.default_rng(0)
    labels = {
        layer.inputs[0].index
        for layer in graph.values()
        if layer.type_name.startswith("cost.") and isinstance(layer.inputs[0], DataLayer)
        and len(layer.inputs) > 1
    }  # fmt: skip

    def matrix(number: int, size: int) -> np.ndarray:
        if number in labels or size == 1:
            return generator.integers(0, 2, (size, cases)).astype(np.float32)
        return generator.random((size, cases), np.float32) / np.float32(
            10
        )  # small: no cost overflows

    return [matrix(i, int(np.prod(shape))) for i, shape in enumerate(shapes)]


def write_table() -> None:
    causes = {row.file: row.cause for row in rows()} if TABLE.exists() else {}
    with TABLE.open("w", newline="") as file:
        names = [field.name for field in fields(Row)]
        writer = csv.DictWriter(file, names, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        for row in found_rows():
            cause = row.cause if row.verdict == "builds" else causes.get(row.file, "")
            writer.writerow(asdict(row) | {"cause": cause})


if __name__ == "__main__":
    write_table()
