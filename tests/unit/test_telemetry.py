import json

import pytest

from pipeline import errors, telemetry
from pipeline.batch import Counts


def emitted(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_counts_become_one_line_of_metrics(capsys):
    counts = Counts(received=8, applied=2, duplicate=1, stale=1, ignored=1, signals=1, poison=1, retried=1)
    telemetry.count("postgres", counts)
    [line] = emitted(capsys)
    [directive] = line["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "auth0-sync"
    [dimensions] = directive["Dimensions"]
    assert set(dimensions) == {"service", "sink"}
    assert {metric["Unit"] for metric in directive["Metrics"]} == {"Count"}
    values = {metric["Name"].lower(): line[metric["Name"]] for metric in directive["Metrics"]}
    assert values == {field: [float(getattr(counts, field))] for field in counts.__struct_fields__}


def test_each_batch_is_counted_by_itself(capsys):
    telemetry.count("postgres", Counts(received=1, applied=1))
    telemetry.count("dynamodb", Counts(received=2, stale=2))
    first, second = emitted(capsys)
    assert (first["sink"], first["Received"], first["Stale"]) == ("postgres", [1.0], [0.0])
    assert (second["sink"], second["Received"], second["Applied"]) == ("dynamodb", [2.0], [0.0])


def test_a_pseudonym_is_stable_and_says_nothing():
    assert telemetry.pseudonym("auth0|ada") == telemetry.pseudonym("auth0|ada") == "84047e8f9fb03cf8"
    assert telemetry.pseudonym("auth0|ada") != telemetry.pseudonym("auth0|adb")
    assert len(telemetry.pseudonym("\ud800")) == 16


def every_error():
    found = vars(errors).values()
    return [kind for kind in found if isinstance(kind, type) and issubclass(kind, errors.SyncError)]


@pytest.mark.parametrize("kind", every_error())
def test_an_error_is_its_docstring(kind):
    error = kind()
    assert error.reason == kind.__name__
    assert str(error) == " ".join(kind.__doc__.split())
    assert str(kind("at 5")) == f"{error} (at 5)"


def test_every_failure_is_either_tried_again_or_poison():
    for kind in every_error():
        if kind not in (errors.SyncError, errors.BadSettings):
            assert issubclass(kind, errors.Retry) != issubclass(kind, errors.Poison)
