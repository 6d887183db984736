import pytest

from convnet.config import reader
from convnet.config.reader import Source, read_sections
from convnet.errors import ConfigError, Problems


def read(text, *, toml=False):
    """Values by section and key of a text without mistakes."""
    problems = Problems()
    sections = read_sections(Source("f", text, toml), problems)
    assert problems.errors == []
    return {name: {k: e.value for k, e in s.entries.items()} for name, s in sections.items()}


def mistakes(text, *, toml=False):
    problems = Problems()
    for section in read_sections(Source("f", text, toml), problems).values():
        for where, fault in section.broken.values():
            problems.add(where, fault)
    return problems.errors


def test_sections_keys_and_values():
    text = "[conv1]\nfilterSize=5\nInitW : 0.01\n\n[Conv1]\nname = A b:c = d\n"
    assert read(text) == {
        "conv1": {"filtersize": "5", "initw": "0.01"},
        "Conv1": {"name": "A b:c = d"},
    }


def test_lines_of_sections_and_entries():
    sections = read_sections(Source("f", "# head\n[a]\n\nx=1\n y\n[b]\r\nz=2\rz=3"), Problems())
    assert sections["a"].where() == "f:2"
    assert sections["a"].where(sections["a"].entries["x"]) == "f:4"
    assert sections["b"].where() == "f:6"
    assert sections["b"].where(sections["b"].entries["z"]) == "f:8"
    assert sections["a"].entries["x"].key == "x"


def test_comments():
    text = (
        "; one\n# two\nrem three = 3\nREM\n[a] ; note\nx=1 ; gone\n"
        "y=exp[b=1;t=2]\tand\t;gone ; too\n  # indented\nz=#1\nremark=4\nw= ;empty\n"
    )
    assert read(text) == {
        "a": {"x": "1", "y": "exp[b=1;t=2]\tand", "z": "#1", "remark": "4", "w": ""}
    }


def test_header_may_end_in_a_comment():
    assert list(read("[a] # note\n[b];note\n[ c ]\n")) == ["a", "b", "c"]


def test_other_text_after_a_header_is_ignored():
    problems = Problems()
    assert list(read_sections(Source("f", "[a] // note\n[b] ; note\n"), problems)) == ["a", "b"]
    assert problems.warnings == ["f:1: '// note' after the section header is ignored"]


@pytest.mark.parametrize(
    ("value", "read_as"),
    [
        ("exp[base=1 ;tgtFactor=2]", "exp[base=1"),  # as the original did
        ("dexp[base=1;tgtFactor=2 ; numSteps=3]", "dexp[base=1;tgtFactor=2 ; numSteps=3]"),
        ("exp[base=1;tgtFactor=2] ; see [1]", "exp[base=1;tgtFactor=2]"),
        ("exp[base=1; tgtFactor=2],0.1 ; two", "exp[base=1; tgtFactor=2],0.1"),
        ("3 ; see [1]", "3"),
    ],
)
def test_comments_and_semicolons_in_brackets(value, read_as):
    assert read(f"[a]\nx={value}\n") == {"a": {"x": read_as}}


def test_continuation_lines():
    assert read("[a]\nx=1,\n  2,\n\n# comment\n\t3 ; gone\ny=4\n") == {
        "a": {"x": "1,\n2,\n3", "y": "4"}
    }


def test_empty_values():
    assert read('[a]\nx=""\ny=\nz="1"\n') == {"a": {"x": "", "y": "", "z": '"1"'}}


def test_repeated_sections_merge_and_the_last_key_wins():
    assert read("[a]\nx=1\ny=2\n[b]\n[a]\nX=3\n") == {"a": {"x": "3", "y": "2"}, "b": {}}


def test_default_section():
    sections = read_sections(
        Source("f", "[DEFAULT]\nx=1\ny=%(z)s\nz=0\n[a]\nx=2\nz=5\n[b]\n"), Problems()
    )
    assert list(sections) == ["a", "b"]
    a, b = sections["a"].entries, sections["b"].entries
    assert {k: (e.value, e.auxiliary) for k, e in a.items()} == {
        "x": ("2", False),
        "y": ("5", True),
        "z": ("5", True),  # own, but %(z)s refers to it
    }
    assert {k: (e.value, e.line) for k, e in b.items()} == {
        "x": ("1", 2),
        "y": ("0", 3),
        "z": ("0", 4),
    }


def test_lower_case_default_is_an_ordinary_section():
    assert read("[default]\nx=1\n[a]\n") == {"default": {"x": "1"}, "a": {}}


def test_interpolation():
    text = "[DEFAULT]\nn=3\n[a]\nm=%(N)s%(n)s\nk=<%(m)s> 50%%\n"
    assert read(text)["a"] == {"n": "3", "m": "33", "k": "<33> 50%"}


def test_interpolated_percent_sign_is_not_expanded_again():
    assert read("[a]\nx=%%(y)s\nz=%(x)s\n")["a"] == {"x": "%(y)s", "z": "%(y)s"}


def test_all_mistakes_are_reported_together():
    assert mistakes("x=1\ny=2\n[a\nz\n= 3\nw=5%\n[b] junk\n  q=1\n") == [
        "f:1: expected a section header [name] first, found 'x=1'",
        "f:3: expected a section header [name], found '[a'",
        "f:4: expected 'key = value', found 'z'",
        "f:5: expected 'key = value', found '= 3'",
        "f:8: an indented line continues a value, but none stands before it",
        "f:6: bare '%' in the value of 'w'; write %% or %(key)s",
    ]


def test_section_with_damaged_header_is_still_read():
    sections = read_sections(Source("f", "[a\nx=1\n[]\ny=2"), Problems())
    assert sections["a"].entries["x"].value == "1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[a]\nx=%(y)s", "f:2: 'x' refers to %(y)s, but neither [a] nor [DEFAULT] has a key 'y'"),
        ("[a]\nx=%(x)s", "f:2: value of 'x' refers to itself: x -> x"),
        ("[a]\nx=%(x", "f:2: bare '%' in the value of 'x'; write %% or %(key)s"),
        ("[a]\nx=%d", "f:2: bare '%' in the value of 'x'; write %% or %(key)s"),
    ],
)
def test_interpolation_mistakes(text, message):
    assert mistakes(text) == [message]


def test_a_faulty_value_is_reported_once():
    text = "[DEFAULT]\nd=%\n[a]\nx=%(d)s\ny=%(x)s\n[b]\n"
    assert mistakes(text) == ["f:2: bare '%' in the value of 'd'; write %% or %(key)s"]
    sections = read_sections(Source("f", text), Problems())
    assert sections["a"].entries == {}
    assert sections["a"].broken.keys() == {"d", "x", "y"}


def test_cycle_of_references():
    found = mistakes("[a]\nx=%(y)s\ny=%(z)s\nz=%(x)s\n")
    assert "f:4: value of 'z' refers to itself: x -> y -> z -> x" in found


def test_references_cannot_exhaust_memory_or_the_stack():
    doubling = "[a]\nk0=xx\n" + "".join(f"k{i}=%(k{i - 1})s%(k{i - 1})s\n" for i in range(1, 40))
    assert any("expands to over 100000 characters" in text for text in mistakes(doubling))
    chain = "[a]\n" + "".join(f"k{i}=%(k{i + 1})s\n" for i in range(99)) + "k99=1\n"
    assert any("references nest more than 50 deep" in text for text in mistakes(chain))


def test_long_lines_are_cut_in_messages():
    (message,) = mistakes("z" * 10_000)
    assert len(message) < 200


def test_toml_has_the_same_content():
    text = """
[DEFAULT]
n = 3
["conv 1"]
filterSize = 5
initW = [1e-2, 0.5]
shared = true
neuron = "tanh[1,2]"
size = "%(n)s"
empty = ""
inputs = ["a", "b"]
[conv2]
"""
    ini = """
[DEFAULT]
n = 3
[conv 1]
filterSize = 5
initW = 0.01,0.5
shared = true
neuron = tanh[1,2]
size = %(n)s
empty = ""
inputs = a,b
[conv2]
"""
    assert read(text, toml=True) == read(ini)
    problems = Problems()
    sections = [read_sections(Source("f", t, t == text), problems) for t in (text, ini)]
    for a, b in zip(*(s.values() for s in sections), strict=True):
        assert a.line == b.line
        assert [e.line for e in a.entries.values()] == [e.line for e in b.entries.values()]


def test_toml_inline_table_has_a_line():
    sections = read_sections(Source("f", '\na = {type = "x"}', toml=True), Problems())
    section = sections["a"]
    assert section.where(section.entries["type"]) == "f:2"


def test_toml_mistakes():
    text = "k = 1\n[a]\nx = 2024-01-01\ny = [[1]]\nz = 1\n[a.b]\nq = 1\n[[c]]\n[d]\nv = 'w%'\n"
    must = "must be a string, number, boolean or a list of these, found"
    assert mistakes(text, toml=True) == [
        "f:1: expected a table [name] first, found key 'k'",
        "f: expected a table [name] first, found key 'c'",
        f"f:3: value of 'x' in [a] {must} date",
        f"f:4: value of 'y' in [a] {must} list",
        f"f:2: value of 'b' in [a] {must} dict",
        "f:10: bare '%' in the value of 'v'; write %% or %(key)s",
    ]


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("[a]\nx = \n", "f:2: not valid TOML: Invalid value"),
        ("[a]\nx = 1\nx = 2\n", "f:3: not valid TOML: Cannot overwrite a value"),
        ("[a]\nx = '''", "f:2: not valid TOML: "),
        ("[a]\nx = " + "9" * 5000, "f:2: not valid TOML: "),
        ("x = " + "[" * 5000, "f:1: not valid TOML: "),
    ],
)
def test_toml_syntax_mistakes(text, start):
    (message,) = mistakes(text, toml=True)
    assert message.startswith(start)
    assert "\n" not in message


def test_source_from_path(tmp_path):
    path = tmp_path / "net.cfg"
    path.write_bytes("\ufeff[a]\nx=é\n".encode())
    assert Source.from_path(path) == Source(str(path), "[a]\nx=é\n", toml=False)
    assert Source.from_path(path.rename(tmp_path / "net.TOML")).toml


def test_bytes_that_are_not_utf8_are_latin1(tmp_path):
    path = tmp_path / "net.cfg"
    path.write_bytes(b"# Universit\xe4t \xff\r\n[a]\r\nx=1\r\n")
    assert Source.from_path(path).text == "# Universit\u00e4t \u00ff\r\n[a]\r\nx=1\r\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[a]\n\nx=\0", ":3: holds a NUL byte; a layer file must be text"),
        (b"#" * 101, ": larger than 100 bytes; not a layer file"),
    ],
)
def test_files_that_are_no_layer_files(tmp_path, monkeypatch, content, message):
    monkeypatch.setattr(reader, "MAX_FILE_BYTES", 100)
    path = tmp_path / "net.cfg"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as error:
        Source.from_path(path)
    assert str(error.value) == f"{path}{message}"


def test_unreadable_files(tmp_path):
    for path, reason in (
        (tmp_path / "none.cfg", "No such file or directory"),
        (tmp_path, "Is a directory"),
    ):
        with pytest.raises(ConfigError) as error:
            Source.from_path(path)
        assert str(error.value) == f"{path}: cannot read the layer file: {reason}"
