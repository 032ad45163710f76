"""Structs that several threads decode at once for the first time."""

import subprocess
import sys

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
sys.setswitchinterval(1e-6)
document = b'{{"x":{{"a":1,"b":["q"]}},"y":[{{"a":{{"a":1,"b":[]}},"b":[]}}]}}'
for number in range(400):
    sys.modules["made"] = made = types.ModuleType("made")
    exec({STRUCTS!r}, vars(made))
    begin = threading.Barrier(4)
    def decode():
        begin.wait()
        msgspec.json.decode(document, type=made.Outer)
    threads = [threading.Thread(target=decode) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
"""


def test_threads_decode_new_structs_at_once() -> None:
    """msgspec 0.22 crashed."""
    assert subprocess.run([sys.executable, "-c", PROGRAM], check=False).returncode == 0
