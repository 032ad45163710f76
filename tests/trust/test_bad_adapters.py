"""Each bad adapter is refused with its code, changes nothing, is recorded once, crashes nothing."""

from collections.abc import Iterator

import pytest

from appliance.errors import CODES
from tests.trust import bad_adapters
from tests.trust.bench import AdapterBench, Outcome, open_adapter_bench
from tests.trust.test_mutants import Mutant, function, mutated


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdapterBench]:
    with open_adapter_bench(tmp_path_factory.mktemp("bad")) as made:
        yield made


@pytest.mark.parametrize(("change", "code"), bad_adapters.ALL.values(), ids=bad_adapters.ALL)
def test_refused(bench: AdapterBench, change: bad_adapters.Change, code: str) -> None:
    assert code in CODES
    assert bench.attempt_adapter(change) == Outcome(code, "", True, [code])


def test_the_same_adapter_without_a_fault_is_taken(bench: AdapterBench) -> None:
    outcome = bench.attempt_adapter(lambda bad: None)
    assert (outcome.code, outcome.crashed, outcome.entries) == ("", "", [])
    assert not outcome.unchanged  # the control: the digest sees a change


MUTANTS = [
    Mutant("lora.vet_lora", '!= "adapter"', '== ""', "file: a model"),
    Mutant("lora.vet_lora", '!= "lora"', '== ""', "file: a control vector"),
    Mutant("lora.vet_lora", "key not in _KEYS", "False", "file: activated by tokens"),
    Mutant("lora.vet_lora", "architecture not in ARCHITECTURES", "False",
           "file: an unlisted architecture"),
    Mutant("lora.vet_lora", "name := not_finite(", "name := (lambda *_: None)(",
           "numbers: a NaN"),
    Mutant("numbers.not_finite", "not finite(", "0 and (", "numbers: an infinity"),
    Mutant("lora.check_shapes", "lora.architecture != base.architecture", "False",
           "base: another architecture"),
    Mutant("lora.check_shapes", "weight is None", "False", "base: a layer"),
    Mutant("lora.check_shapes", "weight.shape != (", "() and (", "base: wider input"),
    Mutant("lora.check_shapes", "weight.shape != (", "() and (", "base: taller output"),
    Mutant("lora._pairs", "match is None", "False", "file: a norm"),
    Mutant("lora._pairs", "tensor.type not in _TYPES", "False", "file: an integer matrix"),
    Mutant("lora._pair", "len(half) != 2", "False", "file: half a pair"),
    Mutant("lora._pair", "down[1] != up[0]", "False", "file: ranks that differ"),
    Mutant("lora._pair", "len(down) != 2 or len(up) != 2", "False", "file: of experts"),
    Mutant("lora._pair", "up[0] > MAX_RANK", "False", "file: too large a rank"),
    Mutant("lora._alpha", "value.kind is not Kind.FLOAT32", "False",
           "file: alpha as an integer"),
    Mutant("lora._alpha", "not math.isfinite(alpha) or", "", "file: alpha infinite"),
    Mutant("lora._alpha", "alpha <= 0", "False", "file: alpha 0"),
    Mutant("adapter.Base.check", "self.oms_root, self.gguf_sha256) != (oms_root, gguf_sha256)",
           "self.gguf_sha256,) != (gguf_sha256,)", "bound: another root digest"),
    Mutant("adapter.Base.check", "self.oms_root, self.gguf_sha256) != (oms_root, gguf_sha256)",
           "self.oms_root,) != (oms_root,)", "bound: another file's digest"),
    Mutant("store.ModelStore.check_artifact", "isinstance(facts, VettedAdapter)", "False",
           "bound: to another model, signed"),
    Mutant("store.ModelStore.check_base", "check_shapes(adapter.lora, found.facts)", "pass",
           "base: taller output"),
    Mutant("adapter.parse_statement", "not data", "False", "bound: no statement"),
    Mutant("adapter.parse_statement", "!= STATEMENT_TYPE", '== ""', "bound: another type"),
    Mutant("adapter.parse_statement", "not _HEX.fullmatch(root)", "False",
           "bound: a digest in upper case"),
    Mutant("adapter.parse_statement", "strict_json.only(", "(lambda *_: None)(",
           "bound: a field more"),
]  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m.where}: {m.case}")
def test_the_suite_notices(
    bench: AdapterBench, mutant: Mutant, monkeypatch: pytest.MonkeyPatch
) -> None:
    (case,) = (name for name in bad_adapters.ALL if name.startswith(mutant.case))
    change, code = bad_adapters.ALL[case]
    assert bench.attempt_adapter(change).code == code
    target = function(mutant.where)
    monkeypatch.setattr(target, "__code__", mutated(mutant.where, mutant.source, mutant.by))
    outcome = bench.attempt_adapter(change)
    assert outcome.code != code or outcome.crashed, "no case notices that this check is gone"
