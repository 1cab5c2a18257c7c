"""Foreign programs before a net of two brokers, of which one is killed: every call is answered.

Usage: python examples/bridges/run.py

It shows each command as it runs it. A bridge of all four protocols lets these in, none of which knows BraidMQ:

- a client of majortomo, which calls a service of BraidMQ;
- curl, which calls a service that a worker of majortomo provides;
- a zgossip node of libczmq, which hears what the net has.

It needs majortomo and six (`pip install majortomo six`), curl and libczmq (`apt-get install curl libczmq4`), and the
extra `http`. The ports are free ones; the usual ones are 5551 and 5552, 5555, 5670, 8080 and 9999.
"""

import ctypes
import importlib.util
import json
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen

from braidmq.lab.processes.ports import free_ports

HERE = Path(__file__).parent
ROUNDS = 100
WAIT_S = 120
LIBRARY = "libczmq.so.4"

BRIDGES = """
[majordomo]
bind = ["{majordomo}"]
[zgossip]
bind = ["{zgossip}"]
[http]
bind = ["{http}"]
[malamute]
bind = ["{malamute}"]
"""


class Stage:
    """Where the programs run.

    Args:
        folder: where the net is kept.

    Attributes:
        log: what the programs have written to stderr.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.log = folder / "log"
        self.log.touch()
        self._running: list[Popen[str]] = []

    def run(self, command: str) -> None:
        """Run a command to its end."""
        print(f"$ {command}")
        subprocess.run(self._words(command), cwd=self._folder, stdout=DEVNULL, check=True)

    def start(self, command: str) -> Popen[str]:
        """Start a program that stays."""
        print(f"$ {command} &")
        with self.log.open("a") as log:
            program = Popen(self._words(command), cwd=self._folder, stdin=PIPE, stdout=PIPE, stderr=log, text=True)
        self._running.append(program)
        return program

    def close(self) -> None:
        """End what still runs, those that came last first."""
        for program in reversed(self._running):
            with suppress(BrokenPipeError), program:
                program.terminate()

    def _words(self, command: str) -> list[str]:
        name, *arguments = shlex.split(command)
        if name == "braidmq":
            return [sys.executable, "-m", "braidmq", *arguments]
        program, *arguments = arguments
        return [sys.executable, str(HERE / program), *arguments]


def can_load(library: str) -> bool:
    """Whether the system finds a library."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def missing() -> list[str]:
    """Return how to get what is not there."""
    found = {
        "pip install majortomo six": all(map(importlib.util.find_spec, ("majortomo", "six"))),
        "pip install 'braidmq[http]'": importlib.util.find_spec("httptools"),
        "apt-get install libczmq4": can_load(LIBRARY),
        "apt-get install curl": shutil.which("curl"),
    }
    return [way for way, there in found.items() if not there]


def ask(program: Popen[str], line: str) -> None:
    """Write a line to a program."""
    assert program.stdin is not None
    program.stdin.write(f"{line}\n")
    program.stdin.flush()


def heard(program: Popen[str]) -> str:
    """Return the next line of a program, without its end; nothing if it has ended."""
    assert program.stdout is not None
    return program.stdout.readline().rstrip("\n")


def wait_for_news(gossip: Popen[str], **wanted: str) -> None:
    """Read what a zgossip node tells until each of some services has the value that is wanted."""
    while wanted:
        line = heard(gossip)
        if not line:
            raise RuntimeError("the zgossip node has ended")
        word, *rest = json.loads(line)
        if word == "DELIVER":
            service = rest[0].split("/")[-2]
            if rest[0].split("/")[-3] == "service" and wanted.get(service) == rest[1]:
                print(f"zgossip's node hears: {rest[0]} = {rest[1]}")
                del wanted[service]


def play(folder: Path, stage: Stage) -> bool:
    """Run everything; return whether every call was answered."""
    first, second, *ports = free_ports(6)
    majordomo, zgossip, malamute = (f"tcp://127.0.0.1:{port}" for port in ports[:3])
    http = f"127.0.0.1:{ports[3]}"

    stage.run("braidmq init net")
    stage.run(f"braidmq add broker b1 --net net --endpoint tcp://127.0.0.1:{first}")
    stage.run(f"braidmq add broker b2 --net net --endpoint tcp://127.0.0.1:{second}")
    stage.run("braidmq add node worker --net net --serve pricing")
    stage.run("braidmq add node bridge-1 --net net --call '*' --serve orders --serve 'zgossip.*'")
    b1 = stage.start("braidmq broker --join net/b1.braid")
    stage.start("braidmq broker --join net/b2.braid")
    stage.start("braidmq serve --join net/worker.braid --service pricing --exec \"sed 's/^/price /'\"")

    print("$ cat bridges.toml")
    config = BRIDGES.format(majordomo=majordomo, zgossip=zgossip, malamute=malamute, http=http).lstrip()
    print(config, end="")
    (folder / "bridges.toml").write_text(config)
    stage.start("braidmq bridge --config bridges.toml --join net/bridge-1.braid")

    gossip = stage.start(f"python zgossip_node.py {zgossip}")
    stage.start(f"python majortomo_worker.py {majordomo} orders 1.0")
    client = stage.start(f"python majortomo_client.py {majordomo} pricing")
    wait_for_news(gossip, pricing="2", orders="2")

    url = f"http://{http}/services/orders"
    print(f"$ curl -d 0 {url}")
    answers = {"majortomo's client": 0, "curl": 0}
    for number in range(ROUNDS):
        ask(client, f"{number}")
        with Popen(["curl", "-sS", "-d", f"{number}", url], stdout=PIPE, text=True) as curl:
            if number == ROUNDS // 2:
                print("$ kill -9 b1, while both wait for an answer")
                b1.kill()
            answers["majortomo's client"] += heard(client) == f"price {number}"
            answers["curl"] += heard(curl) == f"{number}"
    wait_for_news(gossip, pricing="1")
    for who, count in answers.items():
        print(f"{who}: {count} of {ROUNDS} calls were answered")
    return all(count == ROUNDS for count in answers.values())


def out_of_time(*_: object) -> None:
    raise TimeoutError(f"something is not there after {WAIT_S} s")


def main() -> int:
    if ways := missing():
        print(f"something is missing: {'; '.join(ways)}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGALRM, out_of_time)
    signal.alarm(WAIT_S)
    with tempfile.TemporaryDirectory() as name, ExitStack() as ends:
        stage = Stage(Path(name))
        ends.callback(stage.close)
        try:
            return 0 if play(Path(name), stage) else 1
        except (OSError, RuntimeError) as error:  # TimeoutError is one
            print(f"{error}; what the programs have said:\n{stage.log.read_text()}", file=sys.stderr)
            return 1


if __name__ == "__main__":
    sys.exit(main())
