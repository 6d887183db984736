"""Every mistake that a user can make, what the program says to it, and what to do then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.train.helpers import as_arguments

DEF, PARAMS, CHECKPOINT = "layers.cfg", "params.cfg", "good/1.4.safetensors"

Prepare = Callable[[], object]


@dataclass(frozen=True)
class Mistake:
    """One mistake, made in a folder with `data`, layers.cfg, params.cfg and the run `good`.

    did:      what the user did, in Markdown
    says:     the message, a line for each mistake; ... stands for any text
    remedy:   what to do
    options:  changes of the command line that trains in the run `new`; None leaves one out
    edit:     (file, old text, new text)
    prepare:  does anything else to the folder
    command:  the whole command line, instead of training
    """

    did: str
    says: str
    remedy: str
    options: dict[str, object] | None = None
    edit: tuple[str, str, str] | None = None
    prepare: Prepare | None = None
    command: tuple[str, ...] = ()


def option(says: str, remedy: str, **options: object) -> Mistake:
    """A training command with these options changed."""
    given = " ".join(as_arguments({k: v for k, v in options.items() if v is not None}))
    left_out = [f"`--{name.replace('_', '-')}`" for name, v in options.items() if v is None]
    did = f"`{given}`" if given else f"no {', '.join(left_out)}"
    return Mistake(did, says, remedy, options)


def edited(file: str, old: str, new: str, says: str, remedy: str) -> Mistake:
    """A training command after `old` was replaced by `new` in a layer file."""
    shown = [", ".join(text.strip().split("\n")) for text in (old, new)]
    did = f"{file}: no `{shown[0]}`"
    if new:
        did = f"{file}: `{shown[1]}` for `{shown[0]}`"
    return Mistake(did, says, remedy, edit=(file, old, new))


def command(text: str, says: str, remedy: str, also: str = "", prepare: Prepare | None = None):
    """Another command; `also` describes what `prepare` does."""
    did = f"`{text}`" + (f"; {also}" if also else "")
    return Mistake(did, says, remedy, prepare=prepare, command=tuple(text.split()))


def file(did: str, says: str, remedy: str, prepare: Prepare, **options: object) -> Mistake:
    """A training command with damaged files."""
    return Mistake(did, says, remedy, options, prepare=prepare)
