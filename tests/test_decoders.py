"""Structs that several threads decode at once for the first time."""

import subprocess
import sys
from signal import SIGSEGV

STRUCTS = """
import msgspec
class Inner(msgspec.Struct):
    a: "int"
    b: "list[str]"
class Middle(msgspec.Struct):
    a: "Inner"
    b: "list[Inner]"
class Outer(msgspec.Struct):
    x: "Inner"
    y: "list[Middle]"
"""
PROGRAM = f"""
import sys, threading, types, msgspec
from appliance import decoders
sys.setswitchinterval(1e-6)
document = b'{{"x":{{"a":1,"b":["q"]}},"y":[{{"a":{{"a":1,"b":[]}},"b":[]}}]}}'
for number in range(400):
    sys.modules["made"] = made = types.ModuleType("made")
    exec({STRUCTS!r}, vars(made))
    if "prepared" in sys.argv:
        decoders.prepare()
    begin = threading.Barrier(4)
    def decode():
        begin.wait()
        msgspec.json.decode(document, type=made.Outer)
    threads = [threading.Thread(target=decode) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
"""


def ended(*arguments: str) -> int:
    return subprocess.run([sys.executable, "-c", PROGRAM, *arguments], check=False).returncode


def test_prepared_structs_are_decoded_by_threads_at_once() -> None:
    assert ended("prepared") == 0


def test_others_crash_the_process_until_msgspec_is_mended() -> None:
    """The control. Where it fails, `appliance.decoders` can go."""
    assert ended() == -SIGSEGV
