from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from aiohttp import web

from destinations.actions.cases import cases
from destinations.actions.partner import Partner, Request
from mainstem.destinations.actions import process as process_module
from mainstem.destinations.actions import runner as runner_module
from mainstem.destinations.actions.process import Setup
from mainstem.destinations.actions.runner import PROCESS_ENDED, Answer, Call, Result, Runner, _Worker, discard
from mainstem.model.networks import REFUSED_IPV4

WEBHOOK, HUBSPOT, AMPLITUDE = "614a3c7d791c91c41bae7599", "632b1116e0cb83902f3fd717", "5f7dd6d21ad74f3842b1fc47"
LOOPBACK = ip_network("127.0.0.1/32")
MASK = "\u2022" * 10
URL = "https://partner.example/hook"


def event(number: int = 1, **more: Any) -> bytes:
    return msgspec.json.encode({"type": "track", "event": "Order", "messageId": f"m{number}"} | more)


def webhook(*events: bytes, is_batch: bool = False, secret: str = "", **mapping: Any) -> Call:
    """A call of Webhook, which posts `data` to `url`."""
    return Call(
        metadata_id=WEBHOOK,
        action="send",
        mapping={"url": URL, "method": "POST", "data": {"@path": "$."}} | mapping,
        settings={"sharedSecret": secret} if secret else {},
        events=events or (event(),),
        is_batch=is_batch,
    )


def codes(answer: Answer) -> list[str]:
    return [each.code for each in answer.results]


class TestDiscard:
    @pytest.mark.parametrize("status", [408, 423, 429, 500, 502, 503, 504, 529, 599])
    def test_these_statuses_are_tried_again_under_their_own_name(self, status: int) -> None:
        assert discard(Result(status, "ANY")) == (True, str(status))

    @pytest.mark.parametrize("status", [307, 400, 401, 403, 404, 410, 413, 422, 501])
    def test_these_statuses_are_final(self, status: int) -> None:
        assert discard(Result(status, "ANY")) == (False, str(status))

    @pytest.mark.parametrize(
        ("code", "reason"),
        [
            ("ECONNREFUSED", "EREFUSED"),
            ("EHOSTUNREACH", "EREFUSED"),
            ("ETIMEDOUT", "ETIMEDOUT"),
            ("ENOTFOUND", "ENOTFOUND"),
            ("EAI_AGAIN", "ENOTFOUND"),
            ("ECONNRESET", "ECONNRESET"),
            ("EPIPE", "ECONNRESET"),
            ("CERT_HAS_EXPIRED", "ECONNRESET"),
            ("RETRYABLE_ERROR", "RETRY"),
            ("RUNNER_UNAVAILABLE", "RETRY"),
            ("NOT_INSTALLED", "RETRY"),
        ],
    )
    def test_a_failure_without_a_status_is_tried_again_when_the_network_is_at_fault(
        self, code: str, reason: str
    ) -> None:
        assert discard(Result(0, code)) == (True, reason)

    @pytest.mark.parametrize(
        "code", ["NOT_EXECUTED", "NO_RESULT", "UNKNOWN_ERROR", "UNKNOWN_ACTION", "UNREADABLE_CALL", ""]
    )
    def test_a_failure_of_the_destination_itself_is_final(self, code: str) -> None:
        assert discard(Result(0, code)) == (False, "INTERNAL")

    def test_the_network_policy_and_bad_settings_are_final(self) -> None:
        assert discard(Result(0, "EREFUSED")) == (False, "EREFUSED")
        assert discard(Result(400, "INVALID_SETTINGS")) == (False, "INVALID_SETTINGS")


class TestSetup:
    SETUP = Setup(deno="deno", folder=Path("/packages"))

    def flag(self, setup: Setup, name: str) -> list[str]:
        return [each.partition("=")[2] for each in setup.command() if each.partition("=")[0] == name]

    def test_a_process_reads_what_is_installed_and_may_do_nothing_else(self) -> None:
        command = self.SETUP.command()
        assert self.flag(self.SETUP, "--allow-read") == ["/packages"]
        assert not [
            each
            for each in command
            if each.startswith(("--allow-all", "-A", "--allow-write", "--allow-run", "--allow-ffi"))
        ]

    def test_private_networks_and_the_metadata_address_are_refused(self) -> None:
        (refused,) = self.flag(self.SETUP, "--deny-net")
        assert {str(each) for each in REFUSED_IPV4 if each.prefixlen != 4} <= set(refused.split(","))
        assert "169.254.0.0/16" in refused

    def test_an_operator_opens_private_networks(self) -> None:
        (refused,) = self.flag(
            msgspec.structs.replace(self.SETUP, allow_private=(ip_network("10.0.0.0/8"),)), "--deny-net"
        )
        assert "10.0.0.0/8" not in refused.split(",")

    @pytest.mark.parametrize(
        ("url", "host"),
        [
            ("http://127.0.0.1:9000/x", "127.0.0.1:9000"),
            ("https://sink.example", "sink.example:443"),
            ("http://sink.example", "sink.example:80"),
            ("http://[::1]:9000", "[::1]:9000"),
        ],
    )
    def test_what_is_diverted_goes_nowhere_else(self, url: str, host: str) -> None:
        assert self.flag(msgspec.structs.replace(self.SETUP, divert_to=url), "--allow-net") == [host]

    def test_only_variables_that_are_meant_for_destinations_are_passed_on(self) -> None:
        variables = {
            "ACTIONS_A": "1",
            "AWS_SECRET_ACCESS_KEY": "2",
            "MAINSTEM_SECRET_KEY": "3",
            "ADWORDS_DEVELOPER_TOKEN": "4",
        }
        found = msgspec.structs.replace(self.SETUP, variables=variables).environment()
        assert {name for name in found if not name.startswith(("DENO_", "NO_COLOR"))} == {"ACTIONS_A"}

    def test_a_variable_that_destinations_know_without_the_prefix_is_passed_on_without_it_too(self) -> None:
        found = msgspec.structs.replace(self.SETUP, variables={"ACTIONS_ADWORDS_DEVELOPER_TOKEN": "t"}).environment()
        assert found["ADWORDS_DEVELOPER_TOKEN"] == "t"

    def test_no_secret_stands_in_the_arguments(self) -> None:
        variables = {"ACTIONS_A": "s3cr3t"}
        setup = msgspec.structs.replace(self.SETUP, variables=variables, divert_to="http://user:s3cr3t@sink.example")
        assert "s3cr3t" not in " ".join(setup.command())


class TestNotInstalled:
    async def test_every_event_waits_until_it_is_installed(self, tmp_path: Path) -> None:
        runner = Runner(tmp_path, environment={})
        answer = await runner.call(webhook(event(1), event(2)))
        await runner.close()
        assert codes(answer) == ["NOT_INSTALLED"] * 2
        assert "mainstem destinations install" in answer.results[0].message


@pytest.mark.destinations
class TestDelivery:
    async def test_an_event_is_delivered_with_the_request_as_proof(self, runner: Runner, partner: Partner) -> None:
        answer = await runner.call(webhook())
        assert list(answer.results) == [Result(200)]
        assert answer.results[0].is_delivered
        (request,) = partner.taken()
        assert (request.method, request.url, request.body) == ("POST", URL, event())
        (exchange,) = answer.exchanges
        assert (exchange.method, exchange.url, exchange.request_body) == ("POST", URL, event().decode())
        assert (exchange.status, exchange.response_body) == (200, '{"ok": true}')

    async def test_a_batch_is_one_request(self, runner: Runner, partner: Partner) -> None:
        answer = await runner.call(webhook(event(1), event(2), event(3), is_batch=True))
        assert list(answer.results) == [Result(200)] * 3
        (request,) = partner.taken()
        assert request.body == b"[%b]" % b",".join([event(1), event(2), event(3)])

    async def test_members_that_go_elsewhere_are_batches_of_their_own(self, runner: Runner, partner: Partner) -> None:
        partner.reply = lambda request: web.Response(status=500 if "/b" in request.url else 200)
        places = ["/a", "/b", "/a", "/b"]
        events = [event(n, properties={"url": f"https://partner.example{place}"}) for n, place in enumerate(places)]
        answer = await runner.call(webhook(*events, is_batch=True, url={"@path": "$.properties.url"}))
        assert [each.status for each in answer.results] == [200, 500, 200, 500]
        sent = {each.url: [one["messageId"] for one in msgspec.json.decode(each.body)] for each in partner.taken()}
        assert sent == {"https://partner.example/a": ["m0", "m2"], "https://partner.example/b": ["m1", "m3"]}

    async def test_events_of_an_action_that_cannot_batch_go_one_by_one(
        self, runner: Runner, partner: Partner
    ) -> None:
        call = Call(
            metadata_id=AMPLITUDE,
            action="logEventV2",
            mapping={
                "event_type": "a",
                "user_id": {"@path": "$.messageId"},
                "utm_properties": {},
                "use_batch_endpoint": False,
            },
            settings={"apiKey": "k", "secretKey": "s", "endpoint": "north_america"},
            events=[event(1), event(2)],
            is_batch=True,
        )
        answer = await runner.call(call)
        assert [each.is_delivered for each in answer.results] == [True, True], answer
        assert len(partner.taken()) == 2

    async def test_blanks_of_an_event_do_not_matter(self, runner: Runner, partner: Partner) -> None:
        answer = await runner.call(webhook(b'{\n "type": "track",\r\n "event":"A"\n}\n', event()))
        assert [each.is_delivered for each in answer.results] == [True, True]
        assert partner.taken()[0].body == b'{"type":"track","event":"A"}'

    async def test_many_calls_at_once_each_get_their_own_answer(self, runner: Runner, partner: Partner) -> None:
        partner.reply = lambda request: web.Response(
            status=200 + int(msgspec.json.decode(request.body)["messageId"][1:])
        )
        answers = await asyncio.gather(*(runner.call(webhook(event(number))) for number in range(50)))
        assert [each.results[0].status for each in answers] == [200 + number for number in range(50)]
        assert all(f'"m{number}"' in each.exchanges[0].request_body for number, each in enumerate(answers))


@pytest.mark.destinations
class TestFailure:
    @pytest.mark.parametrize(
        ("status", "code"), [(400, "BAD_REQUEST"), (404, "NOT_FOUND"), (500, "INTERNAL_SERVER_ERROR")]
    )
    @pytest.mark.parametrize("is_batch", [False, True])
    async def test_the_partners_status_is_the_result(
        self, runner: Runner, partner: Partner, status: int, code: str, is_batch: bool
    ) -> None:
        partner.reply = lambda _: web.Response(status=status)
        answer = await runner.call(webhook(event(1), event(2), is_batch=is_batch))
        assert [(each.status, each.code, each.is_delivered) for each in answer.results] == [(status, code, False)] * 2

    async def test_retry_after_is_passed_on_in_seconds(self, runner: Runner, partner: Partner) -> None:
        partner.reply = lambda _: web.Response(status=429, headers={"Retry-After": "17"})
        (result,) = (await runner.call(webhook())).results
        assert (result.status, result.retry_after_seconds) == (429, 17.0)

    async def test_a_payload_without_a_required_field_is_a_400(self, runner: Runner, partner: Partner) -> None:
        (result,) = (await runner.call(webhook(url=""))).results
        assert (result.status, result.code) == (400, "PAYLOAD_VALIDATION_FAILED")
        assert "'url'" in result.message
        assert partner.taken() == []

    async def test_a_bad_member_of_a_batch_fails_alone(self, runner: Runner, partner: Partner) -> None:
        events = [event(1, properties={"method": "POST"}), event(2), event(3, properties={"method": "POST"})]
        answer = await runner.call(webhook(*events, is_batch=True, method={"@path": "$.properties.method"}))
        assert codes(answer) == ["", "PAYLOAD_VALIDATION_FAILED", ""]
        (request,) = partner.taken()
        assert [each["messageId"] for each in msgspec.json.decode(request.body)] == ["m1", "m3"]

    async def test_settings_of_a_wrong_type_are_told_from_a_bad_payload(self, runner: Runner) -> None:
        call = msgspec.structs.replace(webhook(), settings={"sharedSecret": {}})
        assert codes(await runner.call(call)) == ["INVALID_SETTINGS"]

    async def test_a_mapping_that_cannot_be_resolved_is_no_delivery(self, runner: Runner, partner: Partner) -> None:
        (result,) = (await runner.call(webhook(data={"@nothing": "$.event"}))).results
        assert not result.is_delivered
        assert partner.taken() == []

    @pytest.mark.parametrize("is_batch", [False, True])
    async def test_an_action_that_does_not_exist_is_no_delivery(self, runner: Runner, is_batch: bool) -> None:
        call = msgspec.structs.replace(webhook(event(1), event(2), is_batch=is_batch), action="send2")
        assert codes(await runner.call(call)) == ["UNKNOWN_ACTION"] * 2

    @pytest.mark.parametrize("metadata_id", ["0" * 24, "__proto__", "constructor", "../webhook"])
    async def test_a_destination_that_does_not_exist_is_no_delivery(self, runner: Runner, metadata_id: str) -> None:
        call = msgspec.structs.replace(webhook(), metadata_id=metadata_id)
        assert codes(await runner.call(call)) == ["NOT_INSTALLED"]

    async def test_an_event_that_is_not_json_fails_and_takes_nothing_along(self, runner: Runner) -> None:
        bad, good = await asyncio.gather(runner.call(webhook(b"{", event())), runner.call(webhook()))
        assert codes(bad) == ["UNREADABLE_CALL"] * 2
        assert good.results[0].is_delivered

    async def test_a_partner_that_is_not_there_is_to_be_tried_again(
        self, packages: Path, unused_tcp_port: int
    ) -> None:
        runner = Runner(packages, divert_to=f"http://127.0.0.1:{unused_tcp_port}", environment={})
        (result,) = (await runner.call(webhook())).results
        await runner.close()
        assert (result.status, result.code) == (0, "ECONNREFUSED")


@pytest.mark.destinations
class TestSecrets:
    SECRET = "s3cr3t/of+acme"

    async def test_secrets_are_masked_wherever_they_stand(self, runner: Runner, partner: Partner) -> None:
        partner.reply = lambda _: web.Response(status=400, text=f"bad: {self.SECRET}")
        answer = await runner.call(
            webhook(
                event(properties={"a": self.SECRET}),
                secret=self.SECRET,
                url=f"{URL}?a=s3cr3t%2Fof%2Bacme&api_key=other",
                headers={"Authorization": "Bearer other", "X-Team": "team-token"},
            )
        )
        shown = str(answer)
        (request,) = partner.taken()
        assert request.headers["x-team"] == "team-token"
        assert MASK in shown
        assert not [
            each for each in (self.SECRET, "s3cr3t%2F", "Bearer other", "team-token", "=other") if each in shown
        ]

    async def test_a_secret_across_the_cut_of_a_body_is_masked_too(self, runner: Runner) -> None:
        for padding in range(4096 - len(self.SECRET) - 60, 4096, 7):
            answer = await runner.call(webhook(event(text="x" * padding + self.SECRET), secret=self.SECRET))
            (exchange,) = answer.exchanges
            assert len(exchange.request_body) <= 4096
            assert "s3cr3t" not in exchange.request_body

    async def test_exchanges_are_bounded(self, runner: Runner, partner: Partner) -> None:
        partner.reply = lambda _: web.Response(text="y" * 100_000)
        events = [event(n, properties={"url": f"{URL}/{n}"}, text="x" * 9_000) for n in range(9)]
        answer = await runner.call(webhook(*events, is_batch=True, url={"@path": "$.properties.url"}))
        assert len(partner.taken()) == 9
        assert len(answer.exchanges) == 5
        assert {len(each.request_body) for each in answer.exchanges} == {4096}
        assert {len(each.response_body) for each in answer.exchanges} == {4096}

    @pytest.mark.usefixtures("catalog")
    async def test_a_variable_of_the_operator_reaches_the_destination_and_is_masked(
        self, packages: Path, partner: Partner
    ) -> None:
        environment = {"ACTIONS_FB_CAPI_SYSTEM_USER_TOKEN": "system-user-token"}
        runner = Runner(packages, divert_to=partner.url, environment=environment)
        (call,) = [each.call for each in cases() if each.label == "facebook-conversions-api.purchase2"]
        answer = await runner.call(call)
        await runner.close()
        (request,) = partner.taken()
        assert request.headers["authorization"] == "Bearer system-user-token"
        assert "system-user-token" not in str(answer)


@pytest.mark.destinations
class TestTokens:
    AUTH: Final = {
        "access_token": "old-token",
        "refresh_token": "r3fresh",
        "clientId": "client",
        "clientSecret": "cl13nt",
    }
    MAPPING: Final = {"eventName": "pe1_order", "email": "a@b.example", "properties": {}}

    @pytest.fixture(autouse=True)
    def expire(self, partner: Partner) -> None:
        """The partner takes new-token alone, and gives it for the refresh token."""

        def reply(request: Request) -> web.Response:
            if request.url.endswith("/token"):
                assert b"refresh_token=r3fresh" in request.body
                return web.json_response({"access_token": "new-token"})
            is_new = request.headers.get("authorization") == "Bearer new-token"
            return web.json_response({}, status=200 if is_new else 401)

        partner.reply = reply

    def call(self) -> Call:
        return Call(
            metadata_id=HUBSPOT, action="sendCustomBehavioralEvent", mapping=self.MAPPING, settings={"portalId": "1"},
            events=[event()], auth=dict(self.AUTH),
        )  # fmt: skip

    def refreshes(self, partner: Partner) -> int:
        return sum(each.url.endswith("/token") for each in partner.taken())

    async def test_an_expired_token_is_refreshed_and_the_new_one_handed_back(
        self, runner: Runner, partner: Partner
    ) -> None:
        answer = await runner.call(self.call())
        assert answer.results[0].is_delivered, answer
        assert answer.refreshed == {"accessToken": "new-token"}
        assert self.refreshes(partner) == 1
        assert not [each for each in ("new-token", "old-token", "r3fresh", "cl13nt") if each in str(answer.exchanges)]

    async def test_calls_that_meet_the_same_expired_token_refresh_it_once(
        self, packages: Path, partner: Partner
    ) -> None:
        runner = Runner(packages, processes=3, divert_to=partner.url, environment={})
        answers = await asyncio.gather(*(runner.call(self.call()) for _ in range(12)))
        await runner.close()
        assert all(each.results[0].is_delivered for each in answers)
        assert all(each.refreshed == {"accessToken": "new-token"} for each in answers)
        assert self.refreshes(partner) == 1

    async def test_a_caller_with_a_token_of_before_is_given_the_newer_one(
        self, runner: Runner, partner: Partner
    ) -> None:
        await runner.call(self.call())
        partner.taken()
        later = await runner.call(self.call())
        assert later.refreshed == {"accessToken": "new-token"}
        assert [each.headers["authorization"] for each in partner.taken()] == ["Bearer new-token"]

    async def test_a_new_token_that_is_refused_as_well_is_final_after_one_repeat(
        self, runner: Runner, partner: Partner
    ) -> None:
        def reply(request: Request) -> web.Response:
            if request.url.endswith("/token"):
                return web.json_response({"access_token": "new-token"})
            return web.json_response({}, status=401)

        partner.reply = reply
        answer = await runner.call(self.call())
        assert [(each.status, discard(each)) for each in answer.results] == [(401, (False, "401"))]
        asked = [each.headers.get("authorization") for each in partner.taken() if not each.url.endswith("/token")]
        assert asked == ["Bearer old-token", "Bearer new-token"]

    async def test_a_refresh_that_is_refused_is_final_and_the_next_call_tries_again(
        self, runner: Runner, partner: Partner
    ) -> None:
        partner.reply = lambda _: web.json_response({}, status=401)
        for _ in range(2):
            answer = await runner.call(self.call())
            assert [(each.status, discard(each)) for each in answer.results] == [(401, (False, "401"))]
            assert answer.refreshed is None
            assert self.refreshes(partner) == 1


@pytest.mark.destinations
class TestNetwork:
    @pytest.fixture
    async def policed(self, packages: Path) -> AsyncIterator[Runner]:
        """Nothing is diverted, and loopback is allowed in one spelling of one address."""
        runner = Runner(packages, allow_private=[LOOPBACK], environment={})
        yield runner
        await runner.close()

    async def test_an_address_that_the_operator_allows_is_reached(self, policed: Runner, partner: Partner) -> None:
        answer = await policed.call(webhook(url=partner.url + "/hook"))
        assert answer.results[0].is_delivered, answer
        assert partner.taken()[0].url == partner.url + "/hook"

    @pytest.mark.parametrize(
        "host",
        [
            "127.0.0.2", "127.1.2.3", "[::1]", "[::]", "[::ffff:7f00:2]", "[fd00::1]", "[fe80::1]",
            "[64:ff9b::7f00:2]", "0.0.0.0", "169.254.169.254", "10.0.0.1", "192.168.1.1",
            "2130706434", "0x7f.2", "0177.0.0.2",
        ],
    )  # fmt: skip
    async def test_no_other_private_address_is_reached_however_it_is_spelled(
        self, policed: Runner, partner: Partner, host: str
    ) -> None:
        (result,) = (await policed.call(webhook(url=f"http://{host}:{partner.url.rpartition(':')[2]}/"))).results
        assert (result.status, result.code) == (0, "EREFUSED"), result
        assert partner.taken() == []

    async def test_names_are_judged_by_what_they_resolve_to(self, packages: Path, partner: Partner) -> None:
        runner = Runner(packages, environment={})
        (result,) = (await runner.call(webhook(url=partner.url.replace("127.0.0.1", "localhost")))).results
        await runner.close()
        assert (result.status, result.code) == (0, "EREFUSED"), result
        assert partner.taken() == []

    async def test_a_redirect_does_not_get_round_the_policy(self, policed: Runner, partner: Partner) -> None:
        port = partner.url.rpartition(":")[2]
        partner.reply = lambda _: web.Response(status=302, headers={"Location": f"http://127.0.0.2:{port}/secret"})
        (result,) = (await policed.call(webhook(url=partner.url))).results
        assert (result.status, result.code) == (0, "EREFUSED"), result
        assert len(partner.taken()) == 1

    async def test_a_name_that_does_not_exist_is_to_be_tried_again(self, policed: Runner) -> None:
        (result,) = (await policed.call(webhook(url="http://nothing.invalid/"))).results
        assert discard(result) == (True, "ENOTFOUND"), result


def pids(runner: Runner) -> set[int]:
    """Of the processes that are there."""
    alive = [each.process for each in runner._workers if each.process and not each.process.has_ended]
    return {each._transport.get_pid() for each in alive if each._transport}


@pytest.mark.destinations
class TestProcesses:
    @pytest.fixture
    def held(self, partner: Partner) -> Iterator[Partner]:
        """A partner that takes requests and does not answer."""
        partner.is_open.clear()
        yield partner
        partner.is_open.set()

    async def test_a_call_that_takes_too_long_is_given_up(
        self, runner: Runner, held: Partner, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await runner.call(msgspec.structs.replace(webhook(), action="none"))  # the process is there now
        monkeypatch.setattr(runner_module, "CALL_SECONDS", 0.2)
        answer = await runner.call(webhook(event(1), event(2)))
        assert [discard(each) for each in answer.results] == [(True, "ETIMEDOUT")] * 2

    async def test_a_process_that_dies_hands_its_calls_back_and_another_takes_its_place(
        self, runner: Runner, held: Partner
    ) -> None:
        waiting = asyncio.ensure_future(runner.call(webhook(event(1), event(2), is_batch=True)))
        await held.arrived.wait()
        (pid,) = pids(runner)
        os.kill(pid, signal.SIGKILL)
        assert [discard(each) for each in (await waiting).results] == [(True, "ECONNRESET")] * 2
        held.is_open.set()
        assert (await runner.call(webhook())).results[0].is_delivered
        assert pid not in pids(runner)

    async def test_a_call_alone_in_a_process_that_ends_by_itself_is_told_from_one_that_was_killed(
        self, runner: Runner, held: Partner
    ) -> None:
        for number, code in ((signal.SIGABRT, PROCESS_ENDED), (signal.SIGKILL, "ECONNRESET")):
            held.arrived.clear()
            waiting = asyncio.ensure_future(runner.call_alone(webhook()))
            await held.arrived.wait()
            (pid,) = pids(runner)
            os.kill(pid, number)
            [result] = (await waiting).results
            assert (result.code, discard(result)) == (code, (True, "ECONNRESET"))
        held.is_open.set()
        assert (await runner.call_alone(webhook())).results[0].is_delivered

    async def test_a_process_that_is_silent_is_replaced(
        self, runner: Runner, held: Partner, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(runner_module, "PING_SECONDS", 0.05)
        monkeypatch.setattr(runner_module, "SILENT_PINGS", 1_000_000)  # until it is stopped
        waiting = asyncio.ensure_future(runner.call(webhook()))
        await held.arrived.wait()
        (pid,) = pids(runner)
        os.kill(pid, signal.SIGSTOP)
        monkeypatch.setattr(runner_module, "SILENT_PINGS", 3)
        assert [discard(each) for each in (await waiting).results] == [(True, "ECONNRESET")]
        assert pids(runner) == set()

    async def test_processes_are_replaced_after_their_share_and_no_call_is_lost(
        self, runner: Runner, partner: Partner, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(runner_module, "PROCESS_CALLS", 4)
        seen: set[int] = set()

        async def deliver(number: int) -> Answer:
            answer = await runner.call(webhook(event(number)))
            seen.update(pids(runner))
            return answer

        answers = await asyncio.gather(*map(deliver, range(12)))
        assert all(each.results[0].is_delivered for each in answers)
        assert sorted(msgspec.json.decode(each.body)["messageId"] for each in partner.taken()) == sorted(
            f"m{number}" for number in range(12)
        )
        assert len(seen) >= 3

    async def test_a_process_that_has_grown_is_replaced(
        self, runner: Runner, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await runner.call(webhook())
        (worker,) = runner._workers
        assert worker.process is not None
        before = pids(runner)
        worker.process.rss_bytes = runner_module.PROCESS_BYTES
        assert (await runner.call(webhook())).results[0].is_delivered
        assert not before & pids(runner) or len(pids(runner)) == 2

    async def test_another_process_takes_its_part_while_those_that_are_there_are_busy(
        self, packages: Path, held: Partner
    ) -> None:
        runner, first, second = await two_processes(packages, held)
        waiting = [asyncio.ensure_future(runner.call(webhook(event(number)))) for number in range(4)]
        await held.arrived.wait()
        assert [len(each.pending) for each in (first, second)] == [2, 2]
        held.is_open.set()
        assert all(each.results[0].is_delivered for each in await asyncio.gather(*waiting))
        await runner.close()

    async def test_a_process_that_the_others_can_do_without_is_let_go(self, packages: Path, partner: Partner) -> None:
        runner, first, second = await two_processes(packages, partner)
        assert first.process
        assert second.process
        for _ in range(runner_module.IDLE_PINGS):
            first.process.busy = second.process.busy = 0.1
            runner._fit()
        await asyncio.shield(second.process._ended)
        assert not first.is_retiring
        assert (await runner.call(webhook())).results[0].is_delivered
        assert len(pids(runner)) == 1
        await runner.close()

    async def test_an_oauth_account_meets_one_process_however_many_there_are(
        self, packages: Path, held: Partner
    ) -> None:
        runner, first, second = await two_processes(packages, held)
        call = msgspec.structs.replace(webhook(), auth={"access_token": "token"})
        waiting = [asyncio.ensure_future(runner.call(call)) for _ in range(4)]
        await held.arrived.wait()
        assert [len(each.pending) for each in (first, second)] == [4, 0]
        held.is_open.set()
        await asyncio.gather(*waiting)
        await runner.close()

    async def test_a_process_that_does_not_start_is_to_be_tried_again(
        self, runner: Runner, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(process_module, "_PROGRAM", Path("/nothing/here.cjs"))
        monkeypatch.setattr(runner_module, "RESTART_SECONDS", 0.0)
        forgotten = asyncio.Event()
        forget = runner._forget
        monkeypatch.setattr(runner, "_forget", lambda slot: (forget(slot), forgotten.set()))
        (result,) = (await runner.call(webhook())).results
        assert discard(result) == (True, "RETRY")
        monkeypatch.undo()
        await forgotten.wait()
        assert (await runner.call(webhook())).results[0].is_delivered

    async def test_closing_waits_for_what_is_in_flight_and_leaves_no_process(
        self, packages: Path, held: Partner
    ) -> None:
        runner = Runner(packages, divert_to=held.url, environment={})
        waiting = asyncio.ensure_future(runner.call(webhook()))
        await held.arrived.wait()
        (pid,) = pids(runner)
        closing = asyncio.ensure_future(runner.close())
        held.is_open.set()
        await closing
        assert (await waiting).results[0].is_delivered
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        assert codes(await runner.call(webhook())) == ["RUNNER_UNAVAILABLE"]

    async def test_memory_stays_flat_over_thousands_of_calls(self, runner: Runner, partner: Partner) -> None:
        partner.requests = Forgetful()

        async def deliver(count: int) -> int:
            numbers = iter(range(count))

            async def lane() -> None:
                for number in numbers:
                    answer = await runner.call(webhook(event(number, text="x" * 1_000)))
                    assert answer.results[0].is_delivered

            await asyncio.gather(*(lane() for _ in range(16)))
            return resident_bytes(*pids(runner))

        before = await deliver(2_000)
        after = await deliver(5_000)
        assert after - before < 20 * 1024 * 1024  # what the package keeps by itself would be 33 MB


async def two_processes(packages: Path, partner: Partner) -> tuple[Runner, _Worker, _Worker]:
    """A runner that was busy for so long that it has a second process."""
    runner = Runner(packages, processes=2, divert_to=partner.url, environment={})
    await runner.call(msgspec.structs.replace(webhook(), action="none"))
    (first,) = runner._workers
    assert first.process
    for _ in range(runner_module.BUSY_PINGS):
        first.process.busy = 1.0
        runner._fit()
    starting = runner._slots[1]
    assert starting is not None
    return runner, first, await starting


class Forgetful(list[Request]):
    """Keeps nothing."""

    def append(self, _: Request) -> None:
        pass


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
