import re

import pytest

from convnet.layer_types.base import TRAIN
from convnet.recording import record
from docs.generate import mnist_graph, regenerate
from tests.docs.pages import PAGES, ROOT


@pytest.mark.parametrize("page", PAGES)
def test_generated_parts_are_up_to_date(page):
    hint = "run: python -m docs.generate"
    assert PAGES[page] == regenerate(PAGES[page]), hint


def anchors(page):
    """The names that the headings of a page can be linked by."""
    headings = re.findall(r"^#+ (.*)$", PAGES[page], re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", PAGES[page]):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        path = (ROOT / page).parent / file if file else ROOT / page
        assert path.exists(), target
        if anchor:
            assert anchor in anchors(str(path.resolve().relative_to(ROOT))), target


@pytest.mark.parametrize("page", PAGES)
def test_files_that_are_named_exist(page):
    names = re.findall(r"\b(?:convnet|data_providers|layers|tests)/[\w./-]*\w/?", PAGES[page])
    assert [name for name in names if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_pages_are_plain_text(page):
    assert PAGES[page].isascii()


def test_index_lists_all_pages():
    for page in PAGES:
        if page.startswith("docs/") and page != "docs/index.md":
            name = page.removeprefix("docs/")
            assert f"[{name}]({name})" in PAGES["docs/index.md"]


def test_how_far_the_gpu_backend_is_proven_is_said_where_readers_begin():
    for page in ("README.md", "docs/architecture.md", "docs/compatibility.md", "docs/kernels.md"):
        text = " ".join(PAGES[page].split())
        assert re.search(r"emulator-verified.{1,40} not (been )?run on a GPU", text), page


def test_plan_shares_memory_as_the_architecture_page_says():
    recording = record(mnist_graph(), TRAIN, 128)
    fc128, drop = (recording.gradients[name][0].storage for name in ("fc128", "drop"))
    assert recording.program.owner(fc128) is recording.program.owner(drop)
