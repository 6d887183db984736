"""Writes the parts of the documentation that come from the code: `python -m docs.generate`.

A page marks such a part with two comments, `<!-- generated: NAME -->` and `<!-- end -->`; what
stands between them is replaced by what `PARTS[NAME]` returns. Everything else in a page is
written by hand. A test fails when a page is not up to date.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from convnet import options, report
from convnet.api import read_graph
from convnet.config import schedules
from convnet.config.keys import Ignored, Key, Refused
from convnet.config.layers import DROPOUT_KEY
from convnet.layer_types.base import GPU_KEY, TRAIN, Layer
from convnet.layer_types.cost import CostLayer
from convnet.layer_types.registry import LAYER_TYPES
from convnet.layer_types.weights import NEURON_KEY, WeightLayer
from convnet.neurons import NEURON_TYPES
from convnet.ops.cuda.emulated.build import Mode
from convnet.plan import Call
from convnet.precision import Precision
from convnet.recording import record
from convnet.roofline import GPUS, Floor, Tiling, floor, tiling
from tests.ops.cuda.test_bugs import BUGS

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
_PART = re.compile(r"(<!-- generated: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def regenerate(text: str) -> str:
    """A page with its generated parts as the code now has them.

    Raises:
        KeyError: the page asks for a part that is not in PARTS.
    """
    return _PART.sub(lambda match: f"{match[1]}{PARTS[match[2]]()}\n{match[3]}", text)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; `|` in a cell is escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def code(value: object) -> str:
    return f"`{value}`"


def text_block(text: str) -> str:
    return f"```text\n{text}\n```"


# --- layers ---------------------------------------------------------------------------------


COMMON_KEYS = (NEURON_KEY, GPU_KEY)


def key_table(keys: Iterable[Key]) -> str:
    return table(
        ("key", "file", "value", "default", "meaning"),
        [
            # A reader of Markdown takes <name> for HTML.
            (code(k.name), k.file, _value(k), _default(k), k.help.replace("<", "&lt;"))
            for k in keys
        ],
    )


def _value(key: Key) -> str:
    if isinstance(key.kind, Ignored):
        return "ignored"
    if isinstance(key.kind, Refused):
        return "refused"
    return key.kind.expected + ("; one per input" if key.per_input else "")


def _default(key: Key) -> str:
    if key.required:
        return "**required**"
    if isinstance(key.default, bool):
        return code(str(key.default).lower())
    return "-" if key.default in (None, (), "") else code(key.default)


def layer_types() -> str:
    """One section for each layer type."""
    return "\n\n".join(_layer_section(layer_type) for layer_type in LAYER_TYPES.values())


def _layer_section(layer_type: type[Layer]) -> str:
    is_weight_layer = issubclass(layer_type, WeightLayer)
    elsewhere = WeightLayer.keys if is_weight_layer else COMMON_KEYS
    own = [key for key in layer_type.keys if key not in elsewhere]
    common = [code(key.name) for key in COMMON_KEYS if key in layer_type.keys]
    parts = [
        f"### {layer_type.type_name}",
        inspect.getdoc(layer_type) or "",
        f"Takes {_input_count(layer_type)}. Its section in the parameter file is "
        f"{'required' if layer_type.needs_parameters else 'optional'}.",
    ]
    if issubclass(layer_type, CostLayer):
        parts.append(f"Prints: {', '.join(layer_type.value_names)}.")
    if own:
        parts.append(key_table(own))
    if is_weight_layer:
        parts.append("Also all [keys of weight layers](#keys-of-weight-layers).")
    if common:
        parts.append(f"[Common keys](#common-keys): {', '.join(common)}.")
    return "\n\n".join(parts)


def _input_count(layer_type: type[Layer]) -> str:
    low, high = layer_type.min_inputs, layer_type.max_inputs
    if high == 0:
        return "no input"
    count = f"{low} or more" if high is None else str(low) if low == high else f"{low} to {high}"
    return f"{count} input{'' if high == 1 else 's'}"


def common_keys() -> str:
    return key_table((*COMMON_KEYS, DROPOUT_KEY))


def weight_keys() -> str:
    return key_table(key for key in WeightLayer.keys if key not in COMMON_KEYS)


def neurons() -> str:
    rows = []
    for name, kind in NEURON_TYPES.items():
        parameters = f"[{','.join(kind.parameters)}]" if kind.parameters else ""
        in_place = "yes" if kind.from_output else "no"
        rows.append(
            (
                code(name + parameters),
                code(kind.formula),
                code(kind.derivative),
                in_place,
                kind.training or "-",
            )
        )
    header = ("neuron", "y = f(x)", "dy/dx", "can overwrite its input", "while training")
    return table(header, rows)


def schedule_formulas() -> str:
    doc = inspect.cleandoc(schedules.__doc__ or "")
    lines = [line.strip() for line in doc.splitlines() if line.startswith("    ")]
    return text_block("\n".join(lines))


# --- options --------------------------------------------------------------------------------

_OPTION_VALUES: dict[Callable[[str], object], str] = {
    str: "text",
    options.parse_range: "`3` or `1-5`",
    options.parse_bool: "`0` or `1`",
    options.natural: "whole number >= 0",
    options.positive: "whole number >= 1",
    options.parse_devices: "`0` or `0,1`",
    options.parse_names: "`a` or `a,b`",
    options.parse_float: "number",
    options.not_negative: "number >= 0",
    options.fraction: "number between 0 and 1",
}


def _option_value(parse: Callable[[str], object]) -> str:
    if isinstance(parse, options.OneOf):
        return " or ".join(map(code, parse.names))
    return _OPTION_VALUES[parse]


def option_table() -> str:
    rows = []
    for name, field in options.FIELDS.items():
        default = getattr(options.Options(), name)
        shown = int(default) if isinstance(default, bool) else default
        rows.append(
            (
                code(options.option_name(name)),
                _option_value(field.metadata["parse"]),
                "-" if shown in ("", []) else code(shown),
                _on_resume(field.metadata["once"], field.metadata["saved"]),
                field.metadata["help"],
            )
        )
    return table(("option", "value", "default", "on resume", "meaning"), rows)


def _on_resume(once: bool, saved: bool) -> str:
    if once:
        return "fixed"
    return "kept" if saved else "forgotten"


# --- a real net -----------------------------------------------------------------------------


def mnist_table() -> str:
    return text_block(report.layer_table(mnist_graph()))


def mnist_plan() -> str:
    """The beginning and the end of the plan of a training step."""
    lines = str(record(mnist_graph(), TRAIN, 128).program).splitlines()
    end = next(i for i, line in enumerate(lines) if line.startswith("# buffers"))
    return text_block(
        "\n".join([*lines[:18], " ...", *lines[end - 2 : end + 3], " ...", *lines[-2:]])
    )


def mnist_graph() -> dict[str, Layer]:
    names = ("layers-mnist-quick.cfg", "layer-params-mnist-quick.cfg")
    definition, parameters = (ROOT / "layers" / name for name in names)
    return read_graph(definition, parameters, [(1, 28, 28), (1, 1, 1)])


# --- the emulated device --------------------------------------------------------------------


def seeded_bugs() -> str:
    """Which mode finds which mistake, as the tests assert it."""
    rows = [
        (
            code(kernel),
            *("yes" if mode in modes else "" for mode in Mode),
            says.strip("()").replace("|", " or "),
        )
        for kernel, (modes, says, _) in BUGS.items()
    ]
    return table(("kernel", *Mode, "what is said of it"), rows)


# --- rooflines ------------------------------------------------------------------------------

ROOFLINE_NETS = {
    "AlexNet": ("imagenet-1gpu", 128),
    "VGG-11": ("imagenet-vgg11", 64),
    "ResNet-50": ("imagenet-resnet50", 64),
}


def net_calls(net: str) -> list[Call]:
    """Of a training step of one of ROOFLINE_NETS."""
    name, mini = ROOFLINE_NETS[net]
    files = (ROOT / "layers" / f"{kind}-{name}.cfg" for kind in ("layers", "layer-params"))
    return record(read_graph(*files, [(3, 224, 224), (1, 1, 1)]), TRAIN, mini).program.calls


def net_products(net: str) -> str:
    """The floors of convolutions and fc layers, and the tiles that they take on an A100.

    Calls of one size are one row.
    """
    gpus = [GPUS["a100"], GPUS["h100"]]
    header = ["layer", "", "GFLOP", "MB", *(f"{gpu.name}, us" for gpu in gpus), "tile", "useful"]
    mini = ROOFLINE_NETS[net][1]
    rows = []
    for (call, *same), tiles in _by_size(net):
        sizes = floor(call, mini, gpus[0])
        rows.append(
            (
                call.layer + (f" and {len(same)} more" if same else ""),
                call.op.partition("_")[2],
                f"{sizes.flops / 1e9:.1f}",
                f"{sizes.bytes / 1e6:.0f}",
                *(", ".join(_microseconds(floor(call, mini, gpu, p)) for p in Precision)
                  for gpu in gpus),
                str(tiles),
                f"{tiles.useful:.0%}",
                f"{tiles.copied / 1e6:.0f}",
            )
        )  # fmt: skip
    return table([*header, "copied, MB"], rows)


def _by_size(net: str) -> Iterable[tuple[list[Call], Tiling]]:
    """Convolutions and fc layers, those of one size together, and their tiles on an A100."""
    mini = ROOFLINE_NETS[net][1]
    groups: dict[tuple[str, str], list[Call]] = {}
    for call in net_calls(net):
        sizes = call.args.get("g", [buffer.shape for _, buffer in call.buffers()])
        groups.setdefault((call.op, str(sizes)), []).append(call)
    for calls in groups.values():
        tiles = tiling(calls[0], mini, GPUS["a100"].multiprocessors)
        if tiles:
            yield calls, tiles


def _microseconds(f: Floor) -> str:
    return f"{1e6 * f.seconds:.0f}" + " B" * (f.bound == "bytes")


def step_floors() -> str:
    """Whole training steps."""
    rows = []
    for net, (_, mini) in ROOFLINE_NETS.items():
        calls = net_calls(net)
        for gpu in (GPUS["a100"], GPUS["h100"]):
            for precision in Precision:
                floors = [floor(call, mini, gpu, precision) for call in calls]
                seconds = sum(f.seconds for f in floors)
                moving = sum(f.seconds for f in floors if f.bound == "bytes")
                rows.append(
                    (
                        f"{net}, {mini} images",
                        f"{gpu.name}, {precision}",
                        f"{1e3 * seconds:.2f}",
                        f"{moving / seconds:.0%}",
                        f"{mini / seconds:.0f}",
                    )
                )
    return table(("step", "at the peak of", "ms", "bound by bytes", "images/s"), rows)


PARTS: dict[str, Callable[[], str]] = {
    "layer-types": layer_types,
    "common-keys": common_keys,
    "weight-keys": weight_keys,
    "neurons": neurons,
    "schedules": schedule_formulas,
    "options": option_table,
    "mnist-table": mnist_table,
    "mnist-plan": mnist_plan,
    "seeded-bugs": seeded_bugs,
    "roofline-steps": step_floors,
    "roofline-alexnet": partial(net_products, "AlexNet"),
    "roofline-vgg11": partial(net_products, "VGG-11"),
    "roofline-resnet50": partial(net_products, "ResNet-50"),
}


def main() -> None:
    for page in sorted(DOCS.glob("*.md")):
        before = page.read_text(encoding="utf-8")
        after = regenerate(before)
        if after != before:
            page.write_text(after, encoding="utf-8")
            print(f"wrote {page.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
