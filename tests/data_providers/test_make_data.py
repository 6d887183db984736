import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data_providers import DataError, ProviderOptions, create, jpeg_jobs
from data_providers.jpeg_batches import JpegStore
from data_providers.jpegs import encode_square
from data_providers.make_data import make_data
from tests.data_providers.helpers import picture_tree
from tests.data_providers.imagenet import TRUTH, training_pictures, write_ilsvrc
from tests.data_providers.jpegs import encoded, picture

ROOT = Path(__file__).parents[2]


def make(source, out, **options):
    """Makes data with small defaults; returns the lines that are reported."""
    lines = []
    chosen = {"size": 16, "batch_size": 4, "workers": 1, "report": lines.append} | options
    make_data(source, out, **chosen)
    return lines


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def cases(store, numbers):
    """The labels and JPEGs of some batches, in order."""
    for number in numbers:
        batch = store.read(number)
        for jpeg, labels in zip(batch.jpegs, batch.labels, strict=True):
            yield labels.tolist(), bytes(jpeg)


class TestImagenet:
    @pytest.fixture
    def source(self, tmp_path):
        return write_ilsvrc(tmp_path / "in")

    def test_the_batches(self, source, tmp_path):
        lines = make(source, tmp_path / "out")
        assert lines == [
            f"looking for pictures in {source}",
            "batch 0: 4 training images (1 of 6)",
            "batch 1: 4 training images (2 of 6)",
            "batch 2: 4 training images (3 of 6)",
            "batch 3: 3 training images (4 of 6)",
            "batch 1000: 4 validation images (5 of 6)",
            "batch 1001: 3 validation images (6 of 6)",
            f"wrote {tmp_path / 'out'}; --train-range 0-3 --test-range 1000-1001",
        ]
        store = JpegStore(tmp_path / "out")
        store.verify()
        assert store.numbers == (0, 1, 2, 3, 1000, 1001)
        assert store.label_names[1] == "kit fox, Vulpes macrotis"
        assert store.index.source == "ILSVRC-2012"
        training = list(cases(store, range(4)))
        assert len({jpeg for _, jpeg in training}) == 15
        labels = [y for (y,), _ in training]
        assert np.bincount(labels).tolist() == [5, 4, 6]
        # Shuffled, but every batch has several classes.
        assert labels != sorted(labels)
        assert all(len(set(labels[i : i + 4])) > 1 for i in (0, 4, 8))
        assert [y + 1 for (y,), _ in cases(store, (1000, 1001))] == TRUTH
        assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]

    def test_the_pictures(self, source, tmp_path):
        make(source, tmp_path / "out")
        originals = [c for files in training_pictures().values() for c in files.values()]
        expected = {encode_square(content, "", 16)[0] for content in originals}
        assert {jpeg for _, jpeg in cases(JpegStore(tmp_path / "out"), range(4))} == expected

    def test_the_mean_and_the_colours(self, source, tmp_path):
        """Of the training pictures as they were before they became JPEGs."""
        make(source, tmp_path / "out")
        originals = [c for files in training_pictures().values() for c in files.values()]
        images = np.array([encode_square(content, "", 16)[1] for content in originals], float)
        store = JpegStore(tmp_path / "out")
        mean = store.mean().reshape(3, 16, 16)
        np.testing.assert_allclose(mean, images.mean(axis=0).transpose(2, 0, 1), rtol=1e-6)
        covariance = np.cov(images.reshape(-1, 3).T, bias=True)
        pca = store.colour_pca()
        product = pca.directions * pca.deviations**2 @ pca.directions.T
        np.testing.assert_allclose(product, covariance, rtol=1e-4)
        np.testing.assert_allclose(pca.directions.T @ pca.directions, np.eye(3), atol=1e-6)
        assert (np.diff(pca.deviations) >= 0).all()

    def test_the_seed_decides_the_shuffle(self, source, tmp_path):
        for name, seed in (("a", 0), ("b", 0), ("c", 1)):
            make(source, tmp_path / name, seed=seed)
        a, b, c = (contents(tmp_path / name) for name in "abc")
        assert a == b
        assert a["data_batch_0.safetensors"] != c["data_batch_0.safetensors"]
        assert a["data_batch_1000.safetensors"] == c["data_batch_1000.safetensors"]

    def test_what_cannot_be_read_is_left_out_and_named(self, tmp_path):
        training = training_pictures()
        training["n02"]["n02_1.JPEG"] = b"no picture"
        source = write_ilsvrc(tmp_path / "in", training=training)
        lines = make(source, tmp_path / "out")
        (line,) = [line for line in lines if "left out" in line]
        assert line.startswith("left out: n02_1.JPEG: not a readable picture: ")
        store = JpegStore(tmp_path / "out")
        assert [f"left out: {text}" for text in store.index.left_out] == [line]
        assert len(list(cases(store, range(4)))) == 14
        assert [y + 1 for (y,), _ in cases(store, (1000, 1001))] == TRUTH

    def test_batches_with_nothing_that_can_be_read(self, tmp_path):
        source = write_ilsvrc(tmp_path / "in", training={"n02": {"n02_1.JPEG": b"x"}})
        text = r"batch 0: none of its pictures can be read; the first: n02_1.JPEG: not a readable"
        with pytest.raises(DataError, match=text):
            make(source, tmp_path / "out")


class TestTrees:
    def test_one_tree_is_split(self, tmp_path):
        picture_tree(tmp_path / "in", count=10)
        make(tmp_path / "in", tmp_path / "out", batch_size=8, size=4)
        store = JpegStore(tmp_path / "out")
        assert store.numbers == (0, 1, 1000)
        assert [len(store.read(n).jpegs) for n in store.numbers] == [8, 8, 4]
        assert sorted(y for (y,), _ in cases(store, [1000])) == [0, 0, 1, 1]
        assert store.label_names == ("cat", "dog")

    @pytest.mark.parametrize("part", ["val", "test"])
    def test_parts(self, tmp_path, part):
        picture_tree(tmp_path / "in" / "train", count=3)
        picture_tree(tmp_path / "in" / part, count=2)
        make(tmp_path / "in", tmp_path / "out", size=4)
        store = JpegStore(tmp_path / "out")
        # In the order of the names of the files: 0.png of each class, 1.png of each.
        assert [y for (y,), _ in cases(store, [1000])] == [0, 1, 0, 1]

    def test_finished_jpegs_are_kept(self, tmp_path):
        for part in ("train", "val"):
            for label, name in enumerate(("cat", "dog")):
                (tmp_path / "in" / part / name).mkdir(parents=True)
                content = encoded(picture(label, (16, 16)), quality=50)
                (tmp_path / "in" / part / name / "1.jpg").write_bytes(content)
        make(tmp_path / "in", tmp_path / "out")
        kept = {y: jpeg for (y,), jpeg in cases(JpegStore(tmp_path / "out"), [0, 1000])}
        assert kept == {y: encoded(picture(y, (16, 16)), quality=50) for y in (0, 1)}

    def test_the_provider_reads_them(self, tmp_path):
        picture_tree(tmp_path / "in", count=10, size=(20, 9))
        make(tmp_path / "in", tmp_path / "out", batch_size=8, size=8)
        options = ProviderOptions(inner_size=6, color_noise=0.1)
        provider = create("image", tmp_path / "out", [0, 1], options, test=False)
        data, labels, matrix = provider.load(0, 1)
        assert (data.shape, labels.shape, matrix.shape) == ((108, 8), (1, 8), (2, 8))
        np.testing.assert_array_equal(matrix[1], labels[0])


class TestGoingOn:
    """The work is stopped and done again."""

    @pytest.fixture
    def source(self, tmp_path):
        training = training_pictures()
        training["n02"]["n02_1.JPEG"] = b"no picture"
        return write_ilsvrc(tmp_path / "in", training=training)

    @pytest.fixture
    def expected(self, source, tmp_path):
        make(source, tmp_path / "whole")
        return contents(tmp_path / "whole")

    def killed(self, source, out, after):
        """Does the work in a process that is killed when it has begun to write so many files."""
        program = f"""
import os, signal
from pathlib import Path
from data_providers import formats
from data_providers.make_data import make_data
replace, left = os.replace, {after}
def counted(*names):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(*names)
os.replace = counted
make_data(Path({str(source)!r}), Path({str(out)!r}), size=16, batch_size=4, workers=1)
"""
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False)
        assert done.returncode == -signal.SIGKILL

    @pytest.mark.parametrize("after", [0, 1, 2, 5, 13, 14, 15])
    def test_after_being_killed(self, source, tmp_path, expected, after):
        out = tmp_path / "out"
        self.killed(source, out, after)
        assert not out.exists()
        lines = make(source, out)
        done = max(0, after - 1) // 2  # each batch is two files, after that with the recipe
        assert (f"going on: {min(done, 6)} of 6 batches are done" in lines) == (done > 0)
        assert contents(out) == expected
        assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out", "whole"]

    def test_after_an_error(self, source, tmp_path, expected, monkeypatch):
        real = jpeg_jobs.write_tensors

        def full(path, *rest):
            if path.name == "data_batch_2.safetensors":
                raise OSError(28, "No space left on device")
            return real(path, *rest)

        monkeypatch.setattr(jpeg_jobs, "write_tensors", full)
        text = "out: cannot write the data: No space left on device; what is done stays in "
        with pytest.raises(DataError, match=text):
            make(source, tmp_path / "out")
        monkeypatch.undo()
        assert "going on: 2 of 6 batches are done" in make(source, tmp_path / "out")
        assert contents(tmp_path / "out") == expected

    def test_with_other_options(self, source, tmp_path):
        self.killed(source, tmp_path / "out", 5)
        text = r"holds the beginning of other work \(make-data, size 16, .*\) than asked for"
        with pytest.raises(DataError, match=text):
            make(source, tmp_path / "out", size=8)

    def test_when_all_is_done(self, source, tmp_path, expected):
        lines = make(source, tmp_path / "whole")
        assert lines[-1] == f"{tmp_path / 'whole'}: complete, nothing to do"
        assert contents(tmp_path / "whole") == expected
        (tmp_path / "whole" / "data_batch_1.safetensors").write_bytes(b"")
        with pytest.raises(DataError, match=r"data_batch_1.safetensors: damaged: its checksum is"):
            make(source, tmp_path / "whole")

    def test_several_workers_give_the_same(self, source, tmp_path, expected):
        lines = make(source, tmp_path / "out", workers=2)
        assert contents(tmp_path / "out") == expected
        assert sum("left out" in line for line in lines) == 1
        assert multiprocessing.active_children() == []

    @pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
    def test_workers_go_with_their_parent(self, tmp_path, number, status):
        picture_tree(tmp_path / "in", count=100)
        options = ["--src-dir", "in", "--tgt-dir", "out", "--image-size", "300"]
        options += ["--batch-size", "8", "--workers", "2"]
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "convnet", "make-data", *options],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert any("training images" in line for line in process.stdout)
        process.send_signal(number)
        # The workers have the pipes too: their ends are read only when all are gone.
        _, errors = process.communicate(timeout=30)
        assert process.returncode == status
        if number == signal.SIGINT:
            assert errors == "interrupted\n"
        assert [path.name for path in tmp_path.iterdir() if path.name != "in"] == [
            ".out.unfinished"
        ]

    def test_a_worker_that_is_killed(self, tmp_path):
        picture_tree(tmp_path / "in", count=50)

        def kill(line):
            if "(1 of " in line:
                os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)

        options = {"size": 500, "workers": 2, "report": kill}
        with pytest.raises(DataError, match="a worker was killed, perhaps for want of memory; "):
            make(tmp_path / "in", tmp_path / "out", **options)
        assert multiprocessing.active_children() == []

    def test_an_error_in_a_worker(self, tmp_path):
        training = {"n02": {f"n02_{i}.JPEG": b"no picture" for i in range(9)}}
        source = write_ilsvrc(tmp_path / "in", training=training)
        with pytest.raises(DataError, match="none of its pictures can be read"):
            make(source, tmp_path / "out", workers=2)
        assert multiprocessing.active_children() == []


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"size": 0}, "image size 0, batch size 4, workers 1, seed 0: expected at least 1, 1, 0"),
        ({"batch_size": 0}, "batch size 0"),
        ({"workers": -1}, "workers -1"),
        ({"seed": -1}, "seed -1"),
        ({"test_fraction": 0.1}, "in: too few pictures for a training and a validation batch"),
    ],
)
def test_impossible_arguments(tmp_path, options, text):
    picture_tree(tmp_path / "in", count=1)
    with pytest.raises(DataError, match=text):
        make(tmp_path / "in", tmp_path / "out", **options)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_no_source(tmp_path):
    with pytest.raises(DataError, match="nowhere: no such folder to make data from"):
        make(tmp_path / "nowhere", tmp_path / "out")


def test_other_things_are_in_the_way(tmp_path):
    picture_tree(tmp_path / "in")
    with pytest.raises(DataError, match="is not empty and holds no prepared data; name another"):
        make(tmp_path / "in", tmp_path / "in")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
