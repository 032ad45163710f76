"""Each check is needed: without it, a case of the bad-input suite is not refused as it must be.

A mutant is one function of the product, compiled with one piece of its source replaced and put in
the function's place by its code object, so that every reference sees it.
"""

import importlib
import inspect
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance import trust
from tests.trust import bad_inputs
from tests.trust.bench import Bench, open_bench

pytestmark = pytest.mark.long


@dataclass(frozen=True)
class Mutant:
    """One check removed.

    Attributes:
        where: module of a package of `appliance.trust`, then the function or method.
        source, by: replaced text, and its replacement.
        case: a name, or the end of one, of `bad_inputs.ALL`.
    """

    where: str
    source: str
    by: str
    case: str


MUTANTS = [
    # the directory
    Mutant("sealed.check_regular", "stat.S_ISLNK(status.st_mode)", "False", "8 a link"),
    Mutant("sealed.check_regular", "not stat.S_ISREG(status.st_mode)", "False", "11 a FIFO"),
    Mutant("sealed.check_regular", "status.st_nlink != 1", "False", "10 a hard link"),
    Mutant("directory._walk", "path in names.IGNORED_PATHS", "False", "7 a file under .github"),
    Mutant("directory._list", "pair := names.twins(sizes)", "pair := None", "differs in case"),
    Mutant("names.problem", "unicodedata.normalize", "(lambda _f, n: n)", "is not NFC"),
    Mutant("names.problem", 'part in ("", ".", "..")', "False", "a name: parent"),
    Mutant("names.problem", '"\\\\" in name', "False", "a name: backslash"),
    Mutant("names.problem", "_DRIVE.match(name)", "False", "a name: drive"),
    Mutant("names.problem", "not name.isprintable()", "False", "a name: NUL"),
    Mutant("manifest._check_names", "name == names.SIGNATURE_FILE", "False", "the signature"),
    # the bundle
    Mutant("dsse.from_json", "!= payload_type", "== 0", "bundle: payload type"),
    Mutant("dsse._signature", "not ecdsa.is_der(signature)", "False", "signature not DER"),
    Mutant("oms.parse_bundle", "!= MEDIA_TYPE", "== 0", "bundle: media type"),
    Mutant("oms.parse_bundle", "by_key == by_chain", "False", "a key and a certificate chain"),
    Mutant("oms.parse_bundle", "len(envelope.signatures) != 1", "False", "signature twice"),
    Mutant("oms._hint", '"rawBytes" in key', "False", "key material beside the hint"),
    Mutant("oms.verify", "not ecdsa.verify(", "0 and (", "bundle: another payload"),
    Mutant("oms.verify", "not ecdsa.verify(", "0 and (", "the hash of another curve"),
    Mutant("strict_json.unique", "len(table) != len(pairs)", "False", "text: duplicate key"),
    Mutant("strict_json._finite", "not math.isfinite(number)", "False", "overflowing number"),
    Mutant("strict_json.parse", "parse_constant=_no_constant,", "", "text: NaN"),
    Mutant("strict_json.parse", "_check_tree(value, refuse, depth)", "pass", "deep but closed"),
    # the manifest
    Mutant("manifest.parse", "!= STATEMENT_TYPE", "== 0", "manifest: statement type"),
    Mutant("manifest.parse", "!= PREDICATE_TYPE", "== 0", "manifest: v0.2 predicate"),
    Mutant("manifest.parse", "len(subjects) != 1", "False", "manifest: two subjects"),
    Mutant("manifest.parse", "root != root_digest(", "0 and (", "wrong root digest"),
    Mutant("manifest.parse", "not 0 < len(resources)", "not 0 <= len(resources)", ": no files"),
    Mutant("manifest._shard_size", 'hash_type != "sha256"', "False", "manifest: hash type"),
    Mutant("manifest._shard_size", '"allow_symlinks", bool', '"allow", bool', "symlinks allowed"),
    Mutant("manifest._shard_size", "path not in _MAY_IGNORE", "False", "everything ignored"),
    Mutant("manifest._resource", "algorithm not in (", "0 and (", "algorithm sha1"),
    Mutant("manifest._resource", "not _HEX.fullmatch(digest)", "False", "digest in upper case"),
    Mutant("manifest._check_names", "pair := names.twins(listed)", "pair := None", "a name twice"),
    Mutant("manifest._whole", "order not in (", "0 and (", "names in no order"),
    Mutant("manifest.compare_names", "manifest.files.keys() - found", "()", "5 a file missing"),
    Mutant("manifest.compare_names", "found - manifest.files.keys()", "()", "6 a file more"),
    Mutant("manifest.compare", "found[name] != digest", "False", "1 a flipped bit in a tensor"),
    Mutant("artifact.model_file_of", "len(found) != 1", "not found", "6 a model more"),
    # who signed
    Mutant("policy.TrustPolicy._actor", "hint not in self.roles[role].keys", "False", "36"),
    Mutant("certificate.verify", "not certificate.not_valid_before_utc <= at", "not at", "46"),
    Mutant("certificate.verify", "at <= certificate.not_valid_after_utc", "at", "45"),
    Mutant("certificate._check_usage", "not usage.digital_signature", "False", "51"),
    Mutant("authorities.person", "in revoked_serials", "in ()", "53"),
    Mutant("authorities.person", "and subject in authority.subjects", "", "not listed"),
    # roles of files
    Mutant("description.parse", "role not in _ROLES", "False", "a role that is not known"),
    Mutant("description.parse", "name not in files", "False", "a grammar that is not there"),
    Mutant("description._grammars", "name in named", "False", "two grammars of one name"),
    Mutant("grammar.name_of", "path.suffix in KINDS and", "", "a grammar of another kind"),
    Mutant("grammar.read", 'kind == "json_schema" and', "False and", "a grammar that is no object"),
    Mutant("artifact._signed_bytes", "len(data) > limit", "False", "a grammar that is too large"),
    # GGUF
    Mutant("reader.read_header", 'reader.take(4) != b"GGUF"', "not reader.take(4)", "magic"),
    Mutant("reader.read_header", "version not in (2, 3)", "False", "big-endian"),
    Mutant("reader.read_header", "key in metadata", "False", "key twice"),
    Mutant("reader._key", "not _KEY.fullmatch(key)", "False", "key with a space"),
    Mutant("reader._array", "kind is Kind.ARRAY", "False", "array of arrays"),
    Mutant("reader._array", "count > MAX_ARRAY", "False", "array of 2^60"),
    Mutant("reader._value", "number not in (0, 1)", "False", "boolean 2"),
    Mutant("reader.Reader.strings", "length > MAX_STRING", "False", "string above the limit"),
    Mutant("tensors._alignment", "alignment & (alignment - 1)", "False", "alignment 96"),
    Mutant("tensors._tensor", "not 1 <= n_dims <= 4", "False", "five dimensions"),
    Mutant("tensors._tensor", "extent < 1", "False", "extent negative"),
    Mutant("tensors._tensor", "elements > MAX_ELEMENTS", "False", "its bytes do not"),
    Mutant("tensors._tensor", "shape[0] % block.elements", "False", "row not in blocks"),
    Mutant("tensors._tensor", "size > MAX_ELEMENTS - MAX_ALIGNMENT", "False", "would wrap"),
    Mutant("tensors.read_tensors", "tensor.name in tensors", "False", "70 to 91 name twice"),
    Mutant("tensors.read_tensors", "offset != padded", "False", "70 to 91 overlap"),
    Mutant("tensors.read_tensors", "reader.size < start + padded", "False", "data too short"),
    Mutant("tensors.read_tensors", "reader.size > start + padded", "False", "3 appended"),
    Mutant("gguf.vet", "not in (0, 1)", "is None", "split in two"),
    Mutant("gguf.vet", "architecture not in accepted", "False", "unlisted architecture"),
    Mutant("gguf._largest", "not 1 <= number <= high", "False", "no layers"),
    Mutant("gguf._largest", "min(numbers) < 0", "False", "a negative number of heads"),
    Mutant("gguf._check_tokenizer", "kind not in allowed", "False", "unlisted tokenizer"),
    Mutant("gguf._check_tokenizer", "len(set(texts)) != len(texts)", "False",
           "two equal tokens"),
    Mutant("gguf._check_tokenizer", "parallel.count != tokens.count", "False", "fewer scores"),
    Mutant("gguf._check_byte_tokens", "looks_like or", "", "a byte token out of range"),
    Mutant("gguf._check_token_ids", "0 <= min(ids)", "-9 <= min(ids)",
           "suppressed ids negative"),
    Mutant("gguf._check_token_ids", "max(ids) < n_vocab", "max(ids) < 1 << 60",
           "an id at the end"),
]  # fmt: skip


def case(name: str) -> tuple[bad_inputs.Change, str]:
    """The one case of this name, or the first whose name begins or ends so."""
    for wanted in bad_inputs.ALL:
        if wanted == name or wanted.endswith(name) or wanted.startswith(f"{name} "):
            return bad_inputs.ALL[wanted]
    raise LookupError(name)


def function(where: str) -> types.FunctionType:
    module, *names = where.split(".")
    (path,) = Path(trust.__path__[0]).glob(f"*/{module}.py")
    found: object = importlib.import_module(f"appliance.trust.{path.parent.name}.{module}")
    for name in names:
        found = getattr(found, name)
    if not isinstance(found, types.FunctionType):
        raise TypeError(where)
    return found


def mutated(where: str, source: str, by: str) -> types.CodeType:
    original = function(where)
    module = importlib.import_module(original.__module__)
    text = inspect.getsource(original)
    assert source in text, f"{where} does not contain {source!r}"
    whole = inspect.getsource(module).replace(text, text.replace(source, by, 1), 1)
    code = compile(whole, f"mutant of {where}", "exec")
    for name in original.__qualname__.split("."):
        (code,) = (
            constant
            for constant in code.co_consts
            if isinstance(constant, types.CodeType) and constant.co_name == name
        )
    return code


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with open_bench(tmp_path_factory.mktemp("mutants")) as made:
        yield made


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m.where}: {m.case}")
def test_the_suite_notices(bench: Bench, mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    change, code = case(mutant.case)
    assert bench.attempt(change).code == code
    target = function(mutant.where)
    monkeypatch.setattr(target, "__code__", mutated(mutant.where, mutant.source, mutant.by))
    outcome = bench.attempt(change)
    assert outcome.code != code or outcome.crashed, "no case notices that this check is gone"
