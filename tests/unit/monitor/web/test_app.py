import asyncio
import json

import pytest

from braidmq import __version__
from braidmq.errors import AccessDenied, ConfigError, NodeClosed
from braidmq.monitor.access import Access
from braidmq.monitor.board import Board
from braidmq.monitor.operations import Operated, Operations
from braidmq.monitor.trial import Busy, Trial, Trials
from braidmq.monitor.web.app import STATIC, Site
from braidmq.monitor.web.door import BODY_BYTES_MAX, FIELDS
from braidmq.monitor.web.feed import STREAMS_MAX, Feed
from braidmq.monitor.web.figures import Figures
from tests.support.asgi import abandon, ask, post, streaming
from tests.support.looks import look, mute, node, service, told

TOKEN = "a token of some length"
BEARER = ("authorization", f"Bearer {TOKEN}")
ACTION = ("x-braidmq-action", "yes")
OWN = ("origin", "http://127.0.0.1:8088")
NOW = 1_800_000_000.0
READS = ["/api/net", "/api/history", "/api/log", "/api/stream", "/metrics"]


class Calls(Trials):
    """Stands for a node that makes test calls: what became of them is given."""

    def __init__(self):
        self.made = []
        self.outcome: Trial | Exception = Trial(
            ok=True, text="w1 has answered", service="echo", took_ms=1.5, broker="b1"
        )

    def callable(self):
        return frozenset({"echo"})

    async def make(self, service, payload, timeout_s):
        self.made.append((service, payload, timeout_s))
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


class Net(Operations):
    """Stands for brokers that do what they are asked for."""

    def __init__(self):
        self.made = []
        self.may = False

    @property
    def allowed(self):
        return self.may

    async def make(self, operation, name):
        self.made.append((operation, name))
        return Operated(True, f"{name} is out", {"b1": "done"})


class Monitor:
    """A monitor without sockets; give it looks."""

    def __init__(self, token=None, *hosts):
        self.board = Board("watcher", NOW)
        self.feed = Feed(self.board)
        self.calls = Calls()
        secrets = iter(range(1_000))
        access = Access(token, hosts, lambda: f"secret-{next(secrets)}")
        figures = Figures(self.board, self.feed)
        self.net = Net()
        site = Site(self.board, self.feed, access, figures, trials=self.calls, operations=self.net, cookie="monitor")
        self.app = site.app()
        self._at_s = asyncio.get_running_loop().time()

    def look(self, *views):
        self.board.take(look(*views, at_s=self._at_s), NOW + self.board.looks, {"echo"})
        self.feed.tell()
        return self

    async def log_in(self):
        answer = await post(self.app, "/api/login", {"token": TOKEN}, [OWN])
        assert answer.status == 200
        return "cookie", answer.fields["set-cookie"].partition(";")[0]


def well(*nodes):
    """A broker with these nodes, or with a worker."""
    return told("b1", names=("b1",), nodes=nodes or [node()], services=[service()])


def problem(answer, status):
    """Check that an answer refuses, and return its title."""
    assert (answer.status, answer.fields["content-type"]) == (status, "application/problem+json"), answer.body
    value = answer.json()
    assert value["status"] == status
    assert value["detail"]
    return value["title"]


async def test_the_page_is_a_file_and_runs_only_scripts_that_are_files():
    app = Monitor().app
    page = await ask(app, "/")
    assert (page.status, page.body) == (200, (STATIC / "index.html").read_bytes())
    assert page.fields["content-type"] == "text/html; charset=utf-8"
    assert b"<script>" not in page.body
    assert b" style=" not in page.body
    for name in STATIC.iterdir():
        if name.is_file():
            assert (await ask(app, f"/static/{name.name}")).status == 200


@pytest.mark.parametrize("target", ["/", "/api/about", "/livez", "/static/nothing", "/nothing", "/api/net"])
async def test_every_answer_says_what_a_browser_must_not_do(target):
    answer = await ask(Monitor().app, target)
    assert {name: answer.fields[name] for name in FIELDS} == FIELDS
    assert "'unsafe" not in FIELDS["content-security-policy"]
    assert FIELDS["content-security-policy"].startswith("default-src 'none'; script-src 'self'; ")


@pytest.mark.parametrize("target", ["/static/../app.py", "/static/%2e%2e/app.py", "/static//etc/passwd", "/static/"])
async def test_nothing_but_static_files_is_given_away(target):
    problem(await ask(Monitor().app, target), 404)


async def test_about_tells_who_it_is_and_what_one_may_do():
    about = (await ask(Monitor().app, "/api/about")).json()
    assert about == {
        "node": "watcher", "version": __version__, "token_required": False, "authorised": True, "actions": [],
    }  # fmt: skip
    app = Monitor(TOKEN).app
    about = (await ask(app, "/api/about")).json()
    assert (about["token_required"], about["authorised"], about["actions"]) == (True, False, [])
    about = (await ask(app, "/api/about", fields=[BEARER])).json()
    assert (about["authorised"], about["actions"]) == (True, ["try"])


async def test_the_net_is_the_newest_look():
    monitor = Monitor()
    assert problem(await ask(monitor.app, "/api/net"), 503) == "The net was not looked at yet"
    net = await ask(monitor.look(well()).app, "/api/net")
    assert (net.fields["content-type"], net.fields["cache-control"]) == ("application/json", "no-store")
    assert (net.json()["level"], net.json()["services"][0]["callable"]) == ("well", True)


async def test_it_is_ready_once_it_has_looked_and_alive_while_it_looks():
    monitor = Monitor()
    assert ((await ask(monitor.app, "/livez")).status, (await ask(monitor.app, "/readyz")).status) == (200, 503)
    monitor.look(mute("b1"))
    assert ((await ask(monitor.app, "/livez")).status, (await ask(monitor.app, "/readyz")).status) == (200, 200)
    monitor._at_s -= 60.0
    monitor.look(mute("b1"))
    assert ((await ask(monitor.app, "/livez")).status, (await ask(monitor.app, "/readyz")).status) == (503, 503)


async def test_history_and_log():
    monitor = Monitor().look(well()).look(well(node(), node("w2")))
    past = (await ask(monitor.app, "/api/history?of=broker:b1&span=day")).json()
    assert (past["step_s"], past["series"]["queued"]) == (60.0, [0.0])
    assert (await ask(monitor.app, "/api/history")).json()["step_s"] == 1.0
    assert problem(await ask(monitor.app, "/api/history?of=broker:b9"), 404) == "Nothing is known of that"
    assert problem(await ask(monitor.app, "/api/history?span=year"), 400) == "There is no such span"
    (event,) = (await ask(monitor.app, "/api/log")).json()["events"]
    assert (event["kind"], event["names"], event["text"]) == ("node-joined", ["w2"], "w2 is connected")
    assert event["at"] == NOW + 1
    for query in (f"before={event['id']}", "limit=0"):
        assert (await ask(monitor.app, f"/api/log?{query}")).json() == {"events": []}
    for query in ("before=x", "limit=-1", "before=1e3", "limit=" + "9" * 30, "before=%C2%B2"):
        problem(await ask(monitor.app, f"/api/log?{query}"), 400)


@pytest.mark.parametrize("host", [None, "evil.example", "evil.example:8088", "", "127.0.0.1@evil.example"])
@pytest.mark.parametrize("target", ["/", "/api/net", "/metrics", "/livez"])
async def test_a_name_that_was_made_to_lead_here_is_refused(host, target):
    answer = await ask(Monitor().look(well()).app, target, host=host)
    assert problem(answer, 421) == "This monitor is not known by that name"


async def test_names_that_it_was_told_are_its_own():
    app = Monitor(None, "monitor.example.org").look(well()).app
    assert (await ask(app, "/api/net", host="monitor.example.org")).status == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9999"])
async def test_pages_of_other_origins_are_refused(origin):
    monitor = Monitor(TOKEN).look(well())
    for target in READS:
        problem(await ask(monitor.app, target, fields=[BEARER, ("origin", origin)]), 403)
    refused = await post(monitor.app, "/api/actions/try", {"service": "echo"}, [BEARER, ACTION, ("origin", origin)])
    problem(refused, 403)
    problem(await post(monitor.app, "/api/login", {"token": TOKEN}, [("origin", origin)]), 403)
    assert monitor.calls.made == []


@pytest.mark.parametrize(
    "fields",
    [
        [], [("authorization", "Bearer wrong")], [("authorization", f"Basic {TOKEN}")], [("authorization", "Bearer")],
        [("authorization", f"Bearer {TOKEN}x")], [("cookie", "monitor=secret-0")], [("cookie", f"monitor={TOKEN}")],
        [("cookie", "monitor=")], [("authorization", "Bearer wrong"), ("cookie", "monitor=secret-0")],
    ],
)  # fmt: skip
async def test_with_a_token_nobody_reads_without_it(fields):
    monitor = Monitor(TOKEN).look(well())
    for target in READS:
        answer = await ask(monitor.app, target, fields=fields)
        assert problem(answer, 401) == "This needs the monitor's token"
        assert answer.fields["www-authenticate"] == "Bearer"
        assert b"b1" not in answer.body
    for target in ("/", "/api/about", "/livez", "/readyz"):
        assert (await ask(monitor.app, target, fields=fields)).status == 200


async def test_who_has_logged_in_reads_until_logging_out():
    monitor = Monitor(TOKEN).look(well())
    answer = await post(monitor.app, "/api/login", {"token": f" {TOKEN}\n"}, [OWN])
    attributes = answer.fields["set-cookie"].lower().split("; ")
    assert {"httponly", "samesite=strict", "path=/"} <= set(attributes)
    assert "secure" not in attributes
    cookie = "cookie", answer.fields["set-cookie"].partition(";")[0]
    assert TOKEN not in cookie[1]
    assert (await ask(monitor.app, "/api/net", fields=[cookie])).status == 200
    assert (await ask(monitor.app, "/api/about", fields=[cookie])).json()["authorised"]
    assert (await post(monitor.app, "/api/logout", {}, [OWN, cookie])).json() == {"authorised": False}
    problem(await ask(monitor.app, "/api/net", fields=[cookie]), 401)


async def test_a_cookie_that_came_over_https_goes_only_there():
    origin = ("origin", "https://127.0.0.1:8088")
    answer = await post(Monitor(TOKEN).app, "/api/login", {"token": TOKEN}, [origin])
    assert "; secure" in answer.fields["set-cookie"].lower()


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], "x" * 10_000, "\ud800"])
async def test_who_has_another_token_is_not_logged_in(token):
    answer = await post(Monitor(TOKEN).app, "/api/login", {"token": token}, [OWN])
    assert answer.status in (400, 401)
    assert "set-cookie" not in answer.fields


async def test_a_monitor_without_a_token_has_no_login_and_no_actions():
    monitor = Monitor().look(well())
    assert problem(await post(monitor.app, "/api/login", {"token": ""}, [OWN]), 409) == "This monitor has no token"
    refused = await post(monitor.app, "/api/actions/try", {"service": "echo"}, [OWN, ACTION])
    assert problem(refused, 401) == "This needs the monitor's token"
    assert "--token-file" in refused.json()["detail"]
    assert monitor.calls.made == []


async def test_a_test_call_tells_its_way_and_times():
    monitor = Monitor(TOKEN)
    asked = {"service": "echo", "payload": "hü", "timeout_s": 2}
    answer = await post(monitor.app, "/api/actions/try", asked, [BEARER, ACTION])
    assert (answer.status, answer.json()["broker"]) == (200, "b1")
    cookie = await monitor.log_in()
    answer = await post(monitor.app, "/api/actions/try", {"service": "echo"}, [cookie, OWN, ACTION])
    assert answer.json()["text"] == "w1 has answered"
    assert monitor.calls.made == [("echo", "hü".encode(), 2.0), ("echo", b"", 5.0)]


@pytest.mark.parametrize(
    ("operation", "asked", "other"),
    [("drain", {"broker": "b1"}, {"node": "w1"}), ("take_out", {"node": "w1"}, {"broker": "b1"}),
     ("put_back", {"node": "w1"}, {})],
)  # fmt: skip
async def test_the_net_is_operated_by_who_has_the_token(operation, asked, other):
    monitor = Monitor(TOKEN)
    target = f"/api/actions/{operation}"
    for fields, status in (([OWN, ACTION], 401), ([BEARER], 403)):
        problem(await post(monitor.app, target, asked, fields), status)
    problem(await post(monitor.app, target, other, [BEARER, ACTION]), 400)
    assert monitor.net.made == []
    done = (await post(monitor.app, target, asked, [BEARER, ACTION])).json()
    (name,) = asked.values()
    assert monitor.net.made == [(operation, name)]
    assert done == {"ok": True, "text": f"{name} is out", "brokers": {"b1": "done"}}


async def test_operations_are_offered_if_the_monitor_has_the_right():
    monitor = Monitor(TOKEN)
    for may, actions in ((False, ["try"]), (True, ["try", "drain", "take_out", "put_back"])):
        monitor.net.may = may
        assert (await ask(monitor.app, "/api/about", fields=[BEARER])).json()["actions"] == actions
    assert (await ask(monitor.app, "/api/about")).json()["actions"] == []


async def test_an_action_needs_to_be_asked_by_a_page_of_the_monitor():
    monitor = Monitor(TOKEN)
    cookie = await monitor.log_in()
    for fields in ([cookie, OWN], [cookie, ACTION], [cookie], [BEARER], [cookie, OWN, (ACTION[0], "no")]):
        answer = await post(monitor.app, "/api/actions/try", {"service": "echo"}, fields)
        assert problem(answer, 403) == "No page of this monitor asks that"
    problem(await post(monitor.app, "/api/actions/try", {"service": "echo"}, [OWN, ACTION]), 401)
    problem(await ask(monitor.app, "/api/actions/try", fields=[BEARER, ACTION]), 405)
    assert monitor.calls.made == []


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Busy(), 429),
        (AccessDenied("this node may not call echo: `braidmq set`"), 403),
        (ConfigError("no service"), 400),
        (NodeClosed("the node is draining"), 503),
    ],
)
async def test_a_test_call_that_cannot_be_made_says_why(outcome, status):
    monitor = Monitor(TOKEN)
    monitor.calls.outcome = outcome
    problem(await post(monitor.app, "/api/actions/try", {"service": "echo"}, [BEARER, ACTION]), status)


async def test_an_error_of_its_own_is_told_and_logged(caplog):
    monitor = Monitor(TOKEN)
    monitor.calls.outcome = RuntimeError("a bug")
    answer = await post(monitor.app, "/api/actions/try", {"service": "echo"}, [BEARER, ACTION])
    assert problem(answer, 500) == "The monitor met an error of its own"
    assert b"a bug" not in answer.body
    assert "a bug" in caplog.text


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{}", "application/json", 400),
        (b"", "application/json", 400),
        (b"[1]", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b'{"service": 7}', "application/json", 400),
        (b'{"service": "x", "timeout_s": 1e9}', "application/json", 400),
        (b'{"service": "x", "timeout_s": 0}', "application/json", 400),
        (b"[" * 60_000, "application/json", 400),
        (b'{"service": "x"}', "text/plain", 415),
        (b"service=x", "application/x-www-form-urlencoded", 415),
        (b"x" * (BODY_BYTES_MAX + 1), "application/json", 413),
    ],
)
async def test_what_is_no_sound_request_gets_one_clear_answer(body, kind, status):
    monitor = Monitor(TOKEN)
    fields = [BEARER, ACTION, ("content-type", kind)]
    problem(await ask(monitor.app, "/api/actions/try", "POST", fields=fields, body=body), status)
    assert monitor.calls.made == []


async def test_who_leaves_in_the_middle_of_a_request_is_no_error_of_the_monitor(caplog):
    assert await abandon(Monitor(TOKEN).app, "/api/login", fields=[("content-type", "application/json")]) == []
    assert caplog.text == ""


async def test_a_body_is_refused_by_what_it_says_of_its_length():
    fields = [BEARER, ("content-type", "application/json"), ("content-length", str(BODY_BYTES_MAX + 1))]
    problem(await ask(Monitor(TOKEN).app, "/api/login", "POST", fields=fields), 413)


@pytest.mark.parametrize(("target", "method"), [("/api/net", "POST"), ("/api/login", "GET"), ("/", "DELETE")])
async def test_other_methods_are_refused(target, method):
    assert problem(await ask(Monitor().app, target, method), 405) == "Method Not Allowed"


def event(chunk):
    """Return kind, id and data of the one event in a chunk."""
    kind, number, data = chunk.strip().split("\n")
    assert (kind[:7], number[:4], data[:6]) == ("event: ", "id: ", "data: ")
    return kind[7:], int(number[4:]), json.loads(data[6:])


async def test_a_stream_has_every_look_and_what_happens():
    monitor = Monitor().look(well())
    async with streaming(monitor.app) as stream:
        assert await stream.next() == "retry: 2000\n\n"
        kind, number, value = event(await stream.next())
        assert (kind, number, value["level"]) == ("net", monitor.board.journal.last_id, "well")
        monitor.look(well(node(), node("w2")))
        log, net, rest = (await stream.next()).split("\n\n")
        assert rest == ""
        kind, number, value = event(log)
        assert (kind, value["id"], value["text"]) == ("log", number, "w2 is connected")
        assert event(net)[:2] == ("net", number)
    assert monitor.feed.readers == 0


async def test_a_reader_that_comes_back_gets_what_it_has_missed():
    monitor = Monitor().look(well())
    for count in range(3):
        monitor.look(well(*(node(f"n{number}") for number in range(count + 1))))
    last = monitor.board.journal.last_id
    for known, missed in ((last - 2, 2), (last, 0), (last + 5, 0), ("x", 0), ("", 0), ("9" * 30, 0)):
        async with streaming(monitor.app, fields=[("last-event-id", str(known))]) as stream:
            await stream.next()
            chunk = await stream.next()
            assert chunk.count("event: log\n") == missed, known
            assert chunk.count("event: net\n") == 1
    async with streaming(monitor.app, fields=[("last-event-id", "5")]) as stream:
        await stream.next()
        assert (await stream.next()).count("event: log\n") == last - int(NOW) * 1_000_000 + 1


async def test_a_slow_reader_misses_looks_and_no_entry():
    monitor = Monitor().look(well())
    async with streaming(monitor.app) as stream:
        await stream.next()
        await stream.next()
        for count in range(5):  # it reads nothing meanwhile
            monitor.look(well(*(node(f"n{number}") for number in range(count + 2))))
        chunk = await stream.next()
        assert (chunk.count("event: net\n"), chunk.count("event: log\n")) == (1, 5 + 1)


async def test_streams_are_bounded_and_give_their_place_back():
    monitor = Monitor().look(well())
    streams = [streaming(monitor.app) for _ in range(STREAMS_MAX)]
    for each in streams:
        await each.__aenter__()
    refused = await ask(monitor.app, "/api/stream")
    assert problem(refused, 503) == "Too many streams"
    assert refused.fields["retry-after"]
    for each in streams:
        await each.__aexit__(None, None, None)
    async with streaming(monitor.app):
        assert monitor.feed.readers == 1


async def test_a_stream_whose_request_is_too_long_gives_its_place_back():
    monitor = Monitor().look(well())
    async with asyncio.timeout(10):
        answer = await ask(monitor.app, "/api/stream", body=b"x" * (BODY_BYTES_MAX + 1))
    assert answer.status == 200
    assert monitor.feed.readers == 0


async def test_streams_end_when_the_monitor_does():
    monitor = Monitor().look(well())
    async with streaming(monitor.app) as stream:
        await stream.next()
        await stream.next()
        monitor.feed.close()
        assert await stream.next() == ""
    problem(await ask(monitor.app, "/api/stream"), 503)
