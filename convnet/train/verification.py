"""Judging the features of a net in training by pairs of pictures, after every test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from convnet.options import require
from convnet.train.embedding import embed
from convnet.train.session import Session
from convnet.train.testing import check_feature_layer
from convnet.verification.pairs import PairSet, open_pairs
from convnet.verification.scores import Verification


@dataclass(frozen=True)
class Verifier:
    """Verifies pairs by the cosine of a layer's output."""

    session: Session
    pairs: PairSet

    def verify(self) -> Verification:
        """Raises: NonFiniteError, DataError as convnet.train.embedding.embed."""
        session = self.session
        layer = session.options.verify_layer
        features = embed(session.net, session.test_data, layer, self.pairs.files, flip=False)
        return self.pairs.verify(features, "cosine")


def open_verifier(session: Session) -> Verifier | None:
    """What --verify-pairs asks for; the net keeps the output of the layer.

    Raises:
        OptionError: the layer is not named, or is not in the net.
        ConvnetError, DataError: the pairs or their pictures cannot be found.
    """
    options = session.options
    if not (options.verify_pairs or options.verify_layer or options.verify_pictures):
        return None
    require(options, "verify_pairs", "verify_layer")
    check_feature_layer(session.net.graph, options.verify_layer, "--verify-layer")
    session.net.keep(options.verify_layer)
    root = Path(options.verify_pictures or options.data_path)
    return Verifier(session, open_pairs(Path(options.verify_pairs), root))
