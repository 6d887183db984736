import math

import pytest

from convnet.config.schedules import Const, Dexp, Exp, Linear, parse_schedule, split_list


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.01", 0.01), ("1e-3", 1e-3), ("1.", 1.0), (".5", 0.5), ("-0.1", -0.1), ("+1", 1.0),
     (" 2 ", 2.0), ("const[base=1e-3]", 1e-3), ("CONST [ BASE = .5 ]", 0.5)],
)  # fmt: skip
def test_constant_in_any_notation(text, value):
    schedule = parse_schedule(text)
    assert schedule == Const(value)
    assert [schedule(0.0), schedule(0.4), schedule(1.0)] == [value] * 3


def test_linear():
    schedule = parse_schedule("linear[base=0.2;tgtFactor=4]")
    assert schedule.base == 0.2
    for t in (0.0, 0.3, 1.0):
        assert schedule(t) == pytest.approx(0.2 * (1 - t) + (0.2 / 4) * t)


def test_exp():
    schedule = parse_schedule("exp[base=0.2;tgtFactor=8]")
    for t in (0.0, 0.3, 1.0):
        assert schedule(t) == pytest.approx(0.2 * 8 ** (-t))


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
def test_dexp_boundary_belongs_to_earlier_step(steps):
    schedule = parse_schedule(f"dexp[base=0.5;tgtFactor=27;numSteps={steps}]")
    times = [k / (4 * steps) for k in range(4 * steps + 1)] + [1 / steps + 1e-12]
    for t in filter(lambda t: t <= 1, times):
        step = 0
        while t > (step + 1) / steps:
            step += 1
        power = step / (steps - 1) if steps > 1 else 1
        assert schedule(t) == pytest.approx(0.5 * 27 ** (-power))


def test_parameters_in_any_order_with_blanks():
    expected = Dexp(0.1, 1000.0, 4)
    for text in (
        "dexp[base=0.1;tgtFactor=1000;numSteps=4]",
        "dexp[base=0.1;numSteps=4;tgtFactor=1e3]",
        " DExp [ numsteps = 4.; TGTFACTOR=1000 ;base=.1 ]\t",
    ):
        assert parse_schedule(text) == expected


@pytest.mark.parametrize(
    "schedule", [Const(1e-5), Linear(0.1, 3.0), Exp(-0.25, 1e10), Dexp(1 / 3, 0.5, 9)]
)
def test_text_reads_back(schedule):
    assert parse_schedule(str(schedule)) == schedule


def test_text_form():
    assert str(Dexp(0.1, 10.0, 5)) == "dexp[base=0.1;tgtFactor=10.0;numSteps=5]"
    assert str(Const(0.01)) == "0.01"


def test_extreme_target_factors_stay_finite():
    for text in ("exp[base=1e-20;tgtFactor=1e-320]", "dexp[base=1;tgtFactor=1e300;numSteps=3]"):
        schedule = parse_schedule(text)
        assert all(math.isfinite(schedule(t)) for t in (0.0, 0.5, 1.0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a learning rate must be a finite number, found ''"),
        ("fast", "a learning rate must be a finite number, found 'fast'"),
        ("nan", "a learning rate must be a finite number, found 'nan'"),
        ("1e999", "a learning rate must be a finite number, found '1e999'"),
        ("exp[base=0.1", "closing ']' missing (a blank followed by ';' starts a comment)"),
        ("jdexp[base=1]", "unknown schedule 'jdexp'; expected const, linear, exp, dexp"),
        ("const[]", "unknown parameter ''; expected const[base=..]"),
        ("const[bse=1]", "unknown parameter 'bse'; expected const[base=..]"),
        (
            "exp[base=1;numSteps=2]",
            "unknown parameter 'numSteps'; expected exp[base=..;tgtFactor=..]",
        ),
        ("exp[base=1;base=2]", "parameter base is given twice"),
        (
            "linear[base=1]",
            "parameter tgtFactor is missing; expected linear[base=..;tgtFactor=..]",
        ),
        ("const[base=x]", "base must be a finite number, found 'x'"),
        ("const[base=inf]", "base must be a finite number, found 'inf'"),
        ("exp[base=1;tgtFactor=0]", "tgtFactor must be > 0, found 0.0"),
        ("linear[base=1;tgtFactor=-2]", "tgtFactor must be > 0, found -2.0"),
        ("exp[base=1;tgtFactor=1e-320]", "base / tgtFactor is too large: 1.0 / 1e-320"),
        (
            "dexp[base=1;tgtFactor=2;numSteps=0]",
            "numSteps must be from 1 to 1000000, found 0",
        ),
        (
            "dexp[base=1;tgtFactor=2;numSteps=1e9]",
            "numSteps must be from 1 to 1000000, found 1000000000",
        ),
        (
            "dexp[base=1;tgtFactor=2;numSteps=2.5]",
            "numSteps must be a whole number, found '2.5'",
        ),
    ],
)
def test_errors(text, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011 (the text is compared whole)
        parse_schedule(text)
    assert str(error.value) == message


def test_split_list():
    assert split_list("a, b ,c") == ["a", "b", "c"]
    assert split_list("tanh[1,2],relu") == ["tanh[1,2]", "relu"]
    assert split_list(",x,") == ["", "x", ""]
    assert split_list("") == [""]
    assert split_list("a],b") == ["a]", "b"]
