"""Two processes, as in production: the Rust API's results, and what one sees when the other dies."""

import concurrent.futures
import contextlib
import csv
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import tacitly as tt

PARTY = Path(__file__).with_name("party.py")
# Not left in the environment: there it would be taken for a setting that no daemon knows.
TACITLY = os.environ.pop("TACITLY_BINARY", str(Path(__file__).parents[2] / "target/debug/tacitly"))
# Nothing that hangs holds up the tests for longer.
LIMIT = 300
# A peer counts as lost soon, and an exchange of 120,000 keys takes many seconds: time to lose it in.
LOSING = {
    "TACITLY_NETWORK__HEARTBEAT_SECONDS": "0.5",
    "TACITLY_NETWORK__RECONNECT_WINDOW_SECONDS": "4",
    "TACITLY_LIMITS__MEGABITS_PER_SECOND": "8",
}


@pytest.fixture
def losing(monkeypatch):
    """For every process that a test starts from now on."""
    for name, value in LOSING.items():
        monkeypatch.setenv(name, value)


class Process:
    """A Python process that runs one side, and its lines so far."""

    def __init__(self, **asked):
        self.lines = []
        words = [sys.executable, str(PARTY), json.dumps(asked)]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        # Whoever reads its lines is not left waiting.
        self.limit = threading.Timer(LIMIT, self.process.kill)
        self.limit.daemon = True
        self.limit.start()

    def until(self, name):
        for line in self.process.stdout:
            self.lines.append(json.loads(line))
            if name in self.lines[-1]:
                return self.lines[-1]
        raise AssertionError(f"ended without {name}: {self.lines[-3:]}")

    def kill(self):
        self.limit.cancel()
        self.process.kill()
        self.process.wait()


@pytest.fixture
def processes():
    started = []

    def start(**asked):
        started.append(Process(**asked))
        return started[-1]

    yield start
    for one in started:
        one.kill()


def mobiles(seed, count, shared):
    """Two messy lists with `shared` numbers in common, and for each the row of every number."""
    pick = random.Random(seed)
    numbers = [f"13{number:09}" for number in pick.sample(range(10**9), 2 * count - shared)]
    lists = [numbers[:count], numbers[count - shared :]]
    for side, styles in zip(lists, (["{}", "+86 {}"], ["{}", "0086{}", " {} "])):
        pick.shuffle(side)
        side[:] = [pick.choice(styles).format(number) for number in side]
    return lists


def plain(number):
    return number.strip()[-11:]


def write(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(path)


def test_two_processes_get_what_is_shared_in_one_order(processes, tmp_path):
    ours, theirs = mobiles(1, 3000, 1000)
    common = {"job": "pilot", "kind": "align"}
    bank = processes(create="bank", home=str(tmp_path / "bank"), listen="127.0.0.1:0", peer="shop",
                     keys=write(tmp_path / "ours", ours), **common)
    code = bank.until("code")["code"]
    shop = processes(create="shop", home=str(tmp_path / "shop"), invited_by=code, peer="bank",
                     keys=write(tmp_path / "theirs", theirs), **common)
    bank_rows, shop_rows = bank.until("rows")["rows"], shop.until("rows")["rows"]
    shared = [plain(ours[row]) for row in bank_rows]
    assert shared == [plain(theirs[row]) for row in shop_rows]
    assert set(shared) == set(map(plain, ours)) & set(map(plain, theirs))
    assert bank.until("alive") and shop.until("alive")


@pytest.fixture
def daemons(tmp_path):
    """Two `tacitly serve` processes that know each other."""
    if not os.access(TACITLY, os.X_OK):
        pytest.fail(f"{TACITLY} is missing: cargo build --workspace")
    environment = {**os.environ, "TACITLY_LIMITS__FRAME_MIB": "256"}
    homes, running = {}, {}

    def tacitly(name, *words):
        asked = [TACITLY, *words, "--home", str(homes[name]), "--json"]
        ran = subprocess.run(asked, check=True, capture_output=True, text=True, env=environment, timeout=LIMIT)
        return ran.stdout

    for name, words in (("bank", ["--listen", "127.0.0.1:0"]), ("shop", [])):
        homes[name] = tmp_path / name
        tacitly(name, "init", name, *words)
        log = open(tmp_path / f"{name}.log", "w", encoding="utf-8")
        running[name] = subprocess.Popen([TACITLY, "serve", "--home", str(homes[name])], stderr=log, env=environment)
        end = time.monotonic() + 30
        while subprocess.run([TACITLY, "status", "--home", str(homes[name])], capture_output=True, timeout=LIMIT).returncode:
            assert time.monotonic() < end, (tmp_path / f"{name}.log").read_text()
            time.sleep(0.05)
    tacitly("shop", "peer", "join", json.loads(tacitly("bank", "peer", "invite", "shop"))["code"])
    yield homes, running, tacitly
    for process in running.values():
        process.kill()
        process.wait()


def test_two_processes_with_two_daemons_get_what_the_rust_api_gives(processes, daemons, tmp_path):
    homes, _, tacitly = daemons
    ours, theirs = mobiles(2, 2000, 700)
    # What is repeated or no number takes part on neither path.
    ours += [ours[5], "12", ""]
    write(tmp_path / "ours.csv", ["row,mobile"] + [f"{row},{number}" for row, number in enumerate(ours)])
    write(tmp_path / "theirs.csv", ["phone"] + theirs)
    lenient = ["--duplicates", "first", "--invalid", "skip"]
    tacitly("shop", "dataset", "add", "members", str(tmp_path / "theirs.csv"), "--key", "phone=cn-mobile", "--allow", "bank")
    tacitly("bank", "dataset", "add", "customers", str(tmp_path / "ours.csv"), "--key", "mobile=cn-mobile", "--allow", "shop", *lenient)
    tacitly("bank", "psi", "--dataset", "customers", "--with", "shop/members", "--out", str(tmp_path / "out.csv"))
    with open(tmp_path / "out.csv", newline="", encoding="utf-8") as file:
        of_rust = [int(row["row"]) for row in csv.DictReader(file)]

    common = {"job": "same", "kind": "intersect"}
    bank = processes(home=str(homes["bank"]), peer="shop", keys=write(tmp_path / "ours", ours), **common)
    shop = processes(home=str(homes["shop"]), peer="bank", keys=write(tmp_path / "theirs", theirs), **common)
    result = bank.until("rows")
    assert result["rows"] == of_rust and len(of_rust) == 700
    assert len(shop.until("rows")["rows"]) == result["shared"] == 700
    for name in ("bank", "shop"):
        stored = b"".join(path.read_bytes() for path in homes[name].rglob("*") if path.is_file())
        assert ours[0].strip()[-11:].encode() not in stored, "no key of a frame is on the disk"


def test_a_control_port_takes_a_token_and_no_frames(tmp_path):
    home, port = tmp_path / "bank", free_port()
    with tt.Party.create(home, "bank", listen=f"127.0.0.1:{free_port()}") as bank:
        code = bank.invite("shop")
    settings = (home / "party.toml").read_text()
    (home / "party.toml").write_text(settings.replace("[control]", f'[control]\nlisten = "127.0.0.1:{port}"'))
    asked = [TACITLY, "token", "create", "analyst", "--role", "operator", "--home", str(home), "--json"]
    made = json.loads(subprocess.run(asked, check=True, capture_output=True, text=True).stdout)
    secret = tmp_path / "token"
    secret.touch(mode=0o600)
    secret.write_text(next(value for value in made.values() if str(value).startswith("tacitly-token-")))
    with tt.Party.from_config(home), tt.Party.create(tmp_path / "shop", "shop") as shop:
        shop.join(code)
        bank = tt.connect(address=f"127.0.0.1:{port}", token_file=secret)
        assert bank.name == "bank" and [peer.party for peer in bank.peers()] == ["shop"]
        with pytest.raises(tt.errors.Permission, match="local control socket"):
            bank.session("shop", job="x").align(["a"], normalise="raw")
        with pytest.raises(tt.TacitlyError, match="loopback"):
            tt.connect(address="192.0.2.1:7101", token_file=secret)


def test_a_lost_job_goes_on_when_the_peer_is_back_and_gives_the_rows_of_the_frame(losing, daemons):
    homes, running, _ = daemons
    ours, theirs = mobiles(4, 120_000, 1000)
    frames = {"bank": {"phone": ours}, "shop": {"phone": theirs}}
    peer = {"bank": "shop", "shop": "bank"}
    frozen = threading.Event()

    def freeze(job):
        if job.done and not frozen.is_set():
            frozen.set()
            running["shop"].send_signal(signal.SIGSTOP)

    def side(name):
        party = tt.connect(homes[name])
        session = party.session(peer[name], job="cut", timeout=120)
        try:
            return session.intersect(
                frames[name], on="phone", normalise="cn-mobile", progress=freeze if name == "bank" else False
            )
        except tt.PeerLost as error:
            lost = error
            # Nobody resumes it while the shop is frozen.
            assert name == "shop" or party.job(lost.job).state == "suspended"
        finally:
            if name == "bank":
                running["shop"].send_signal(signal.SIGCONT)
        end = time.monotonic() + 30
        while not all(peer.link_up for peer in party.peers()):
            assert time.monotonic() < end, "the link does not come back"
            time.sleep(0.1)
        job = party.job(lost.job)
        if job.state == "suspended":
            with contextlib.suppress(tt.errors.JobState):  # The other side may have been quicker.
                job.resume()
        return job.wait(frame=frames[name])

    with concurrent.futures.ThreadPoolExecutor() as pool:
        sides = [pool.submit(side, name) for name in frames]
        try:
            bank, shop = (set(map(plain, one.result(timeout=120).rows()["phone"])) for one in sides)
        except BaseException:
            # The pool is not left while a side still waits for its daemon.
            for process in running.values():
                process.kill()
            raise
    assert frozen.is_set() and len(bank) == 1000 and bank == shop


PORTS = range(12_000, 32_000)
_tried = itertools.count(os.getpid() * 131)


def free_port():
    """A port that nobody has, below those that the system gives to connections, and not the same one twice."""
    for _ in PORTS:
        port = PORTS[next(_tried) % len(PORTS)]
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


@pytest.mark.parametrize("who", ["the daemon", "the python process with its daemon"])
def test_a_side_that_dies_is_shown_as_link_down_and_then_raised_as_peer_lost(losing, processes, who, tmp_path, request):
    ours, theirs = mobiles(3, 120_000, 1000)
    keys = {"bank": write(tmp_path / "ours", ours), "shop": write(tmp_path / "theirs", theirs)}
    common = {"job": "fatal", "kind": "intersect"}
    if who == "the daemon":
        homes, running, _ = request.getfixturevalue("daemons")
        bank = processes(home=str(homes["bank"]), peer="shop", keys=keys["bank"], **common)
        shop = processes(home=str(homes["shop"]), peer="bank", keys=keys["shop"], **common)
        die = running["shop"].kill
    else:
        bank = processes(create="bank", home=str(tmp_path / "bank"), listen="127.0.0.1:0", peer="shop",
                         keys=keys["bank"], **common)
        code = bank.until("code")["code"]
        shop = processes(create="shop", home=str(tmp_path / "shop"), invited_by=code, peer="bank",
                         keys=keys["shop"], **common)
        die = shop.kill
    while not bank.until("progress")["progress"]:
        pass
    die()
    ending = bank.until("error")
    assert ending["error"] == "peer-lost" and ending["peer"] == "shop" and "resume" in ending["hint"]
    assert any(stage.startswith("link down") for stage in ending["stages"]), ending["stages"][-5:]
    assert bank.until("alive")["alive"] == 45 and bank.process.wait(timeout=120) == 0
    if who == "the daemon":
        # Its own program is told as well, and lives.
        assert "error" in shop.until("error") and shop.until("alive")["alive"] == 45
