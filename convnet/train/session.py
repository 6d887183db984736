"""Puts a run together: options, data, net, state, and the directory it is saved in."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from convnet import report, resources
from convnet.api import (
    choose_backend,
    make_ops,
    new_net,
    read_graph,
    restore,
    set_threads,
)
from convnet.checkpoint import (
    Checkpoint,
    TrainingState,
    find_checkpoint,
    last_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from convnet.config.reader import Source, read_sections
from convnet.errors import CheckpointError, NonFiniteError, OptionError, Problems
from convnet.graph import freeze
from convnet.net import Net
from convnet.nonfinite import REMEDY
from convnet.options import FIELDS, Options, merge, option_name, require
from convnet.transform import transform
from convnet.updates import Updates
from data_providers import registry
from data_providers.base import DataProvider, ProviderOptions


@dataclass
class Session:
    """A run: what is trained or tested, on which data, and where it is saved.

    Attributes:
        train_data: None where nothing is trained.
        directory: of the checkpoints and the log, which creates it.
        warnings: of reading the layer files.
        backend: where it is computed, see convnet.api.make_ops.
    """

    options: Options
    net: Net
    definition: Source
    parameters: Source
    data_shapes: list[tuple[int, int, int]]
    train_data: DataProvider | None
    test_data: DataProvider
    state: TrainingState
    directory: Path
    warnings: list[str]
    backend: str

    def cost_text(self, costs: Mapping[str, Sequence[float]], cases: int) -> str:
        """The printed form of costs summed over `cases` images."""
        return report.cost_text(costs, cases, self.net.graph, self.test_data.label_names)

    def save(self, weights: dict[str, np.ndarray] | None = None) -> Path:
        """Writes a checkpoint.

        Args:
            weights: the net's state, where the caller has downloaded it already.

        Raises:
            CheckpointError: it cannot be written.
            NonFiniteError: a weight is NaN or infinite; nothing is written.
        """
        weights = self.net.state() if weights is None else weights
        for name, values in weights.items():
            if not np.isfinite(values).all():
                raise NonFiniteError(
                    f"batch {self.state.epoch}.{self.state.batch}: '{name}' holds a NaN or "
                    f"infinity and is not saved; {REMEDY}"
                )
        checkpoint = Checkpoint(
            weights=weights,
            definition=self.definition,
            parameters=self.parameters,
            data_shapes=self.data_shapes,
            label_names=list(self.test_data.label_names),
            options=self.options.as_dict(),
            state=self.state,
        )
        options = self.options
        return save_checkpoint(
            self.directory, checkpoint, options.keep, options.max_filesize * 2**20
        )


def open_session(given: dict[str, Any]) -> Session:
    """Everything that the given options ask for, checked before anything is computed.

    Args:
        given: options by field name, see convnet.options.parse_options.

    Raises:
        ConvnetError, data_providers.errors.DataError: what is wrong, in one line each.
    """
    if given.get("load_file") and given.get("init_from"):
        raise OptionError(
            "--load-file goes on with a run, --init-from begins a new one: give one of the two"
        )
    given, loaded = _resume(given)
    options = merge(given, loaded.options if loaded else None)
    training = not (options.test_only or options.write_features)
    needed = ["data_path"] if not options.data_provider.startswith("dummy-") else []
    needed += ["data_provider", "test_range"]
    needed += ["train_range"] if training else []
    needed += [] if loaded else ["layer_def", "layer_params"]
    saving = training or options.force_save
    needed += ["save_path"] if saving and not (loaded or options.save_file) else []
    needed += ["feature_path"] if options.write_features else []
    require(options, *needed)
    if options.threads:
        set_threads(options.threads)

    problems = Problems()
    backend, no_gpu = choose_backend(options.gpu)
    if no_gpu:
        problems.warn("", f"--gpu: running on the CPU, as {no_gpu}")
    if training:
        _check_groups(options)
    train_data = open_data(options, test=False) if training else None
    test_data = open_data(options, test=True)
    shapes = list(test_data.shapes)
    if loaded:
        name = str(find_checkpoint(Path(options.load_file)))
        if saving:
            _check_batch_in_progress(options, loaded, name)
        _check_definition(options, given, loaded, name)
        checkpoint = replace(
            loaded,
            parameters=_parameters(options, given, loaded, problems),
            options=options.as_dict(),
        )
        net = restore(
            checkpoint,
            batch_size=options.mini,
            backend=backend,
            precision=options.precision,
            conserve_mem=options.conserve_mem,
            updates=updates_of(options),
            name=name,
            data_shapes=shapes,
            problems=problems,
        )
        _check_outputs(net, loaded.state, name)
        if loaded.state.rates != 1 and checkpoint.parameters.text != loaded.parameters.text:
            loaded.state.rates, loaded.state.costs = 1.0, []
            problems.warn("", "the parameter file has changed: learning rates are its own again")
        definition, parameters, state = checkpoint.definition, checkpoint.parameters, loaded.state
    else:
        definition = Source.from_path(layer_file(options, options.layer_def))
        parameters = Source.from_path(layer_file(options, options.layer_params))
        graph = read_graph(
            definition, parameters, shapes, lenient=options.lenient, problems=problems
        )
        net = new_net(
            graph,
            make_ops(backend, options.precision),
            batch_size=options.mini,
            seed=options.seed,
            conserve_mem=options.conserve_mem,
            updates=updates_of(options),
            init_modules=options.init_modules,
        )
        state = TrainingState()
        if options.init_from:
            _begin_with(net, Path(options.init_from), problems)
    if options.conv_to_local or options.unshare_weights:
        definition, net = _transformed(options, net, definition, parameters, shapes)
    _freeze(options, net)
    for name in given:
        if note := FIELDS[name].metadata["note"]:
            problems.warn("", f"{option_name(name)}: {note}")
    return Session(
        options,
        net,
        definition,
        parameters,
        shapes,
        train_data,
        test_data,
        state,
        run_directory(options, given),
        problems.warnings,
        backend,
    )


def _transformed(
    options: Options,
    net: Net,
    definition: Source,
    parameters: Source,
    shapes: list[tuple[int, int, int]],
) -> tuple[Source, Net]:
    """The definition and the net that --conv-to-local and --unshare-weights make of a net."""
    definition, weights = transform(
        definition,
        net.graph,
        net.state(),
        conv_to_local=options.conv_to_local,
        unshare=options.unshare_weights,
    )
    new = Net(
        read_graph(definition, parameters, shapes, lenient=options.lenient),
        net.ops,
        batch_size=options.mini,
        seed=options.seed,
        conserve_mem=options.conserve_mem,
        updates=updates_of(options),
    )
    new.load_state(weights)
    return definition, new


def _begin_with(net: Net, path: Path, problems: Problems) -> None:
    """Takes over the matrices of a checkpoint that have a name and shape of the net.

    Raises:
        CheckpointError: it has none.
    """
    found, state = load_checkpoint(path).weights, net.state()
    wanted = [name for name in state if not name.endswith((".inc", ".grad"))]
    fitting = {n for n in wanted if n in found and found[n].shape == state[n].shape}
    if not fitting:
        raise CheckpointError(
            f"{path}: has no matrix with the name and the shape of one of this net, which are "
            f"{', '.join(wanted)}"
        )
    net.load_state(state | {name: found[name] for name in fitting})
    if others := [name for name in wanted if name not in fitting]:
        problems.warn(str(path), f"has no matrix for {', '.join(others)}: new ones are made")


def _freeze(options: Options, net: Net) -> None:
    """Raises: OptionError if --freeze names no layer."""
    for name in options.freeze:
        if name not in net.graph:
            raise OptionError(f"--freeze: no layer '{name}'; the net has {', '.join(net.graph)}")
        freeze(net.graph, name)


def _resume(given: dict[str, Any]) -> tuple[dict[str, Any], Checkpoint | None]:
    """The checkpoint to go on from, named by --load-file or an existing --save-file."""
    save_file, load_file = given.get("save_file"), given.get("load_file")
    if not load_file and save_file and last_checkpoint(Path(save_file)):
        load_file = save_file
    if not load_file:
        return given, None
    return {**given, "load_file": load_file}, load_checkpoint(Path(load_file))


def _check_definition(
    options: Options, given: dict[str, Any], loaded: Checkpoint, name: str
) -> None:
    """The layers come from the checkpoint, so a definition file given as well must be the same.

    Raises:
        CheckpointError: it describes other layers; comments and spaces may differ.
    """
    if "layer_def" not in given:
        return
    path = layer_file(options, options.layer_def)
    if _layers(Source.from_path(path)) != _layers(loaded.definition):
        raise CheckpointError(
            f"{name}: holds another net than {path}; leave out --layer-def to go on with the "
            f"net of the checkpoint, or name another run to train the new one"
        )


CUT = (
    *("mini", "data_provider", "batch_size", "image_size"),
    *("people_per_batch", "images_per_person"),
)
"""Options that say which images a minibatch holds."""


def _check_groups(options: Options) -> None:
    """Raises: OptionError if a minibatch could hold a part of a group of people."""
    people, images = options.people_per_batch, options.images_per_person
    if people * images and options.mini % (people * images):
        raise OptionError(
            f"--mini {options.mini}: expected a multiple of {people * images}, so that minibatches "
            f"hold whole groups of --people-per-batch {people} with --images-per-person {images}"
        )


def _check_batch_in_progress(options: Options, loaded: Checkpoint, name: str) -> None:
    """Raises: OptionError if a batch is in progress and would be another, or be cut otherwise."""
    state = loaded.state
    for option in CUT if state.minibatch else ():
        before, now = loaded.options.get(option), getattr(options, option)
        if now != before:
            raise OptionError(
                f"{name}: saved in the middle of batch {state.epoch}.{state.batch}, with "
                f"{option_name(option)} {before}; go on so up to the next test before it can be "
                f"changed to {now}"
            )


def _check_outputs(net: Net, state: TrainingState, name: str) -> None:
    """Raises: CheckpointError if the costs so far are not of this net's cost layers."""
    lengths = {cost.name: len(cost.value_names) for cost in net.costs}
    for costs, _ in [(state.partial, 0), *state.train_outputs, *state.test_outputs]:
        for cost, values in costs.items():
            if len(values) != lengths.get(cost):
                raise CheckpointError(
                    f"{name}: holds {len(values)} values of cost '{cost}'; expected "
                    f"{lengths.get(cost, 'no such cost')}; name another one"
                )


def _layers(definition: Source) -> list[tuple[str, dict[str, str]]]:
    sections = read_sections(definition, Problems())
    return [(s.name, {k: e.value for k, e in s.entries.items()}) for s in sections.values()]


def _parameters(
    options: Options, given: dict[str, Any], loaded: Checkpoint, problems: Problems
) -> Source:
    """The parameter file as it is now, or as it was if it has gone or was not named."""
    if not options.layer_params:
        return loaded.parameters
    path = layer_file(options, options.layer_params)
    if path.exists() or "layer_params" in given:
        return Source.from_path(path)
    problems.warn(str(path), "not found; using the layer parameters stored in the checkpoint")
    return loaded.parameters


def updates_of(options: Options) -> Updates:
    """How the options say that a net learns."""
    return Updates(options.check_finite == "all", options.clip_norm, options.accumulate)


def layer_file(options: Options, name: str) -> Path:
    """A layer file, below --layer-path if that is given, or a shipped one."""
    return resources.layer_file(Path(options.layer_path) / name)


def open_data(options: Options, *, test: bool) -> DataProvider:
    """The provider of the training or the test batches."""
    return registry.create(
        options.data_provider,
        Path(options.data_path) if options.data_path else None,
        options.test_range if test else options.train_range,
        ProviderOptions(
            inner_size=options.inner_size,
            # Features are of one view, also where a loaded run was tested on more.
            multiview_test=options.multiview_test and test and not options.write_features,
            mirror=options.mirror,
            scalar_mean=options.scalar_mean,
            crop_border=options.crop_border,
            color_noise=options.color_noise,
            image_size=options.image_size,
            batch_size=options.batch_size,
            seed=options.seed,
            people_per_batch=options.people_per_batch,
            images_per_person=options.images_per_person,
            jitter=options.jitter,
        ),
        test=test,
    )


def run_directory(options: Options, given: dict[str, Any]) -> Path:
    """Where checkpoints go: to --save-file, beside the loaded one, or to a new dated directory.

    The latter for a new run, and for one that is loaded and given another --save-path.
    """
    if given.get("save_file"):
        return Path(options.save_file)
    if options.load_file:
        path = Path(options.load_file)
        directory = path if path.is_dir() else path.parent
        # The same --save-path given again means to go on in the same directory.
        if "save_path" not in given or _same(directory.absolute().parent, Path(options.save_path)):
            return directory
    dated = Path(options.save_path) / time.strftime("ConvNet__%Y-%m-%d_%H.%M.%S")
    directory, number = dated, 1
    while directory.exists():  # of a run that began in the same second
        number += 1
        directory = dated.with_name(f"{dated.name}-{number}")
    return directory


def _same(first: Path, second: Path) -> bool:
    return first.resolve() == second.resolve()
