"""What goes wrong with pairs of faces, and with verifying and recognising them."""

from __future__ import annotations

from pathlib import Path

from tests.data_providers.helpers import picture_tree
from tests.errors import command, file, option


def tree() -> None:
    picture_tree(Path("faces"), "abcd", count=3)


def people_txt() -> None:
    tree()
    Path("people.txt").write_text("2\n1\na\t3\n1\ne\t3\n")


def pairs_txt() -> None:
    """One pair of each kind names pictures that are not there, 5 and 7 of a."""
    tree()
    Path("pairs.txt").write_text("2\t1\na\t0\t1\na\t0\tb\t2\na\t5\t7\nc\t0\td\t2\n")


def good_pairs() -> None:
    tree()
    Path("pairs.txt").write_text("2\na 0 1\nb 0 1\na 0 b 2\nc 0 d 2\n")


def other_tree() -> None:
    tree()
    picture_tree(Path("others"), "abce", count=2)


VERIFY = "faces verify --pictures faces --pairs pairs.txt"
VERIFICATION = [
    command(
        "faces pairs faces --out pairs.txt --folds 2 --pairs 7",
        "the 2 people of a fold, 6 pictures, make 6 pairs of one person and 9 of two; expected 7 "
        "of each: ask for fewer --pairs or --folds",
        "ask for fewer; or let the folds share people: `--people-disjoint 0`",
        "four people have three pictures each",
        tree,
    ),
    command(
        "faces pairs faces --out pairs.txt --people people.txt",
        "people.txt: 1 of its people have no pictures below faces, the first of them e",
        "name the folder that the list belongs to",
        "the list names a, and e who is not there",
        people_txt,
    ),
    command(
        f"{VERIFY} --raw 6x5",
        "pairs.txt: cannot read it: No such file or directory",
        "draw pairs with `faces pairs`",
    ),
    command(
        f"{VERIFY} --raw 6x5",
        "pairs.txt: 2 of its 7 pictures are not below faces: a 5, a 7; expected as "
        "PERSON/NAME_0001.jpg",
        "correct the list, or name the folder that it belongs to",
        "a has no pictures 5 and 7",
        pairs_txt,
    ),
    command(
        f"{VERIFY} --raw 6x5 --fold 3",
        "pairs.txt: expected fold 1 to 2; found 3",
        "name a fold of the file",
        "two folds",
        pairs_txt,
    ),
    command(
        f"{VERIFY} --raw 6x5",
        "pairs.txt:3: expected a pair of one person, NAME i j; found 'b 1 a 2'",
        "correct the line",
        "the file promises two pairs of one person",
        lambda: Path("pairs.txt").write_text("1 2\na 1 2\nb 1 a 2\n"),
    ),
    command(
        f"{VERIFY} --raw 6",
        "--raw: expected width x height such as 46x56; found '6'; see --help",
        "give both",
    ),
    command(
        f"{VERIFY} --load-file good --raw 6x5",
        "expected --load-file RUN with --layer NAME, or --raw WxH instead",
        "leave out one of them",
        "",
        good_pairs,
    ),
    command(
        f"{VERIFY} --load-file good --layer embedding",
        "--layer: no layer with output 'embedding'; the net has data, labels, conv, conv_neuron, "
        "drop, fc, probs",
        "name one of these",
        "",
        good_pairs,
    ),
    command(
        f"{VERIFY} --load-file good --layer fc",
        "data: expected images of 1 or 3 channels, found 2",
        "name a run that was trained on pictures",
        "the data of this run have two channels",
        good_pairs,
    ),
    command(
        "faces knn --pictures faces --raw 6x5 --per-person 3",
        "faces: expected people with more than 3 pictures, so that some are left to be "
        "recognised; found none",
        "ask for fewer",
        "three pictures of each person",
        tree,
    ),
    command(
        "faces knn --pictures faces --raw 6x5 --gallery others",
        "others: expected the people of --pictures; found one more or less, d",
        "name a folder of the same people",
        "others has a, b, c and e",
        other_tree,
    ),
    command(
        "faces knn --pictures faces --raw 6x5 --gallery others --per-person 1",
        "expected --gallery or --per-person; found both",
        "leave out one of them",
        "",
        other_tree,
    ),
    option(
        "missing --verify-layer (the layer whose output is compared); see --help",
        "give both options",
        verify_pairs="pairs.txt",
    ),
    option(
        "--verify-layer: no layer with output 'logprob'; the net has data, labels, conv, "
        "conv_neuron, drop, fc, probs",
        "name one of these",
        verify_pairs="pairs.txt",
        verify_layer="logprob",
    ),
    file(
        "`--verify-pairs=pairs.txt --verify-layer=fc`; the pictures are in faces",
        "data: expected pictures as CLASS/NAME.jpg (or .png ...), found none",
        "name their folder: `--verify-pictures`",
        good_pairs,
        verify_pairs="pairs.txt",
        verify_layer="fc",
    ),
]
