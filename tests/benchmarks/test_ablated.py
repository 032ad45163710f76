"""The engine without a model stands where the product starts its worker."""

import subprocess
from unittest import mock

import pytest

from appliance.engine import worker
from appliance.workers.child import Child
from benchmarks import ablated, null_engine


def test_the_null_engine_takes_the_place_and_the_words_of_a_worker() -> None:
    begun = mock.Mock(side_effect=OSError)
    with (
        mock.patch.object(ablated, "_popen", begun),
        mock.patch.object(subprocess, "Popen", ablated._start),
        pytest.raises(OSError),
    ):
        Child.start("appliance.engine.worker", 7, 8)
    (command,) = begun.call_args.args
    assert command[1:] == ["-I", null_engine.__file__, "7", "8"]
    assert vars(worker)["ModelRunner"] is null_engine.NullRunner.__base__
