"""What goes wrong with pictures of runs."""

from __future__ import annotations

from collections.abc import Callable

from tests.errors import command
from tests.errors.running import SEE, rewrite


def with_hinge_loss(of: str) -> Callable[[dict, dict], None]:
    """Gives the checkpoint the cost hingeloss of layer `of`, and nothing else above that."""

    def change(tensors: dict, header: dict) -> None:
        kept, _, _ = header["definition"]["text"].partition(
            "[probs]" if of == "fc" else "[logprob]"
        )
        cost = f"[logprob]\ntype = cost.hingeloss\ninputs = labels, {of}\n"
        header["definition"]["text"] = kept + cost
        header["state"].update(train_outputs=[], test_outputs=[], test_times=[])

    return change


PICTURES = [
    command(
        "show --out=run.png",
        "the following arguments are required: -f/--load-file" + SEE,
        "name a checkpoint or a run directory",
    ),
    command(
        "show --load-file=good --out=run.jpg",
        "--out: expected a name that ends in .png, .svg, .pdf; found 'run.jpg'" + SEE,
        "one of those",
    ),
    command(
        "show --load-file=good --out=layers.cfg/run.png",
        "layers.cfg/run.png: cannot write the picture: Not a directory",
        "another directory",
    ),
    command(
        "show costs --load-file=good",
        "show: no picture 'costs'; did you mean cost?",
        "correct the word",
    ),
    command(
        "show everything --load-file=good",
        "show: no picture 'everything'; there are cost, filters, preds, confusion, stats, features",
        "one of those",
    ),
    command(
        "show --load-file=good --show-cost=logprob --show-filters=conv",
        "one picture at a time: --show-cost or --show-filters",
        "two commands",
    ),
    command(
        "show cost --load-file=good --show-cost=logpro",
        "--show-cost: good has no cost 'logpro'; it has logprob",
        "one of those",
    ),
    command(
        "show cost --load-file=good --cost-idx=3",
        "--cost-idx: cost 'logprob' has no value 3; it has logprob (0), error (1), top-k error (2)",
        "one of those",
    ),
    command(
        "show filters --load-file=good --show-filters=drop",
        "--show-filters: good has no layer with weights 'drop'; it has conv, fc",
        "one of those",
    ),
    command(
        "show filters --load-file=good --input-idx=1",
        "--input-idx: layer 'conv' has inputs 0 to 0; found 1",
        "a smaller number",
    ),
    command(
        "show filters --load-file=good --channels=2",
        "--channels is for fc layers; 'conv' is conv",
        "leave it out",
    ),
    command(
        "show filters --load-file=good --local-plane=1",
        "--local-plane is for local layers; 'conv' is conv",
        "leave it out",
    ),
    command(
        "show filters --load-file=good --yuv-to-rgb=1",
        "--yuv-to-rgb needs filters of 3 channels; found 2",
        "leave it out",
    ),
    command(
        "show filters --load-file=good --show-filters=fc --channels=2",
        "--channels: the 75 inputs of layer 'fc' are no square images of 2 channels",
        "another number, here 3",
    ),
    command(
        "show preds --load-file=good --show-preds=fc",
        "--show-preds: the net has no softmax layer 'fc'; it has probs",
        "one of those",
    ),
    command(
        "show preds --load-file=good",
        "the net has no softmax layer, so it predicts no classes",
        "name a run of a net with one",
        "its cost is cost.hingeloss",
        rewrite(with_hinge_loss("fc")),
    ),
    command(
        "show confusion --load-file=good",
        "no cost.logreg compares softmax layer 'probs' with labels, so there is no right class; "
        "name another with --show-preds",
        "name a run of a net with that cost",
        "its cost is cost.hingeloss",
        rewrite(with_hinge_loss("probs")),
    ),
    command(
        "show preds --load-file=good --save-preds=out --only-errors=1",
        "--save-preds writes all predictions instead of a picture: leave out --out and "
        "--only-errors",
        "that",
    ),
    command(
        "show preds --load-file=good --save-preds=layers.cfg",
        "layers.cfg/test_preds_5.npz: cannot write the predictions: Not a directory",
        "another directory",
    ),
    command(
        "show features --load-file=good --write-features=fc",
        "missing --feature-path (directory for the features)" + SEE,
        "give it",
    ),
]
