"""Where the folders shipped with the program are: the layer files and the GPU kernels."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from convnet.errors import ConvnetError

PACKAGE = Path(__file__).resolve().parent


def find_folder(name: Literal["kernels", "layers"]) -> Path:
    """The shipped folder `name`, in an installed wheel, an editable install or a bare checkout.

    Raises:
        ConvnetError: the installation is damaged; both places are named.
    """
    # The wheel's first: in site-packages, a `layers` beside the package would be somebody else's.
    installed, checkout = PACKAGE / f"_{name}", PACKAGE.parent / name
    for folder in (installed, checkout):
        if folder.is_dir():
            return folder
    raise ConvnetError(
        f"the folder {name} that comes with the program is neither at {installed} (installed) nor "
        f"at {checkout} (checkout); install the program again"
    )


def layer_file(path: Path) -> Path:
    """`path`, or the shipped file if `path` is layers/NAME and there is no such file here.

    So `--layer-def layers/layers-mnist-quick.cfg` works from any directory.
    """
    if path.parent == Path("layers") and not path.exists():
        shipped = find_folder("layers") / path.name
        if shipped.exists():
            return shipped
    return path
