import inspect
import math

import msgspec
import pytest

from rheostat.client import AsyncClient, Client
from rheostat.steering.records import Change, Verb

HALVE = Change(verb=Verb.SCALE, value=0.5, reason="too noisy", groups=("default",))


def test_both_clients_have_the_same_methods_with_the_same_arguments():
    def surface(kind):
        return {
            name: [(one.name, one.default) for one in inspect.signature(method).parameters.values()]
            for name, method in vars(kind).items()
            if not name.startswith("_")
        }

    assert surface(Client) == surface(AsyncClient)


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("create_run", {"spec": "name: digits"}),
        ("get_run", {"run": "digits"}),
        ("pause_run", {"run": "digits"}),
        ("resume_run", {"run": "digits"}),
        ("stop_run", {"run": "digits"}),
    ],
)
async def test_a_run_comes_back_as_its_record(ask, service, method, arguments):
    assert await ask(method, **arguments) == service.views[0]

    [(asked, _)] = service.asked
    assert asked == method


async def test_a_script_is_told_all_that_it_must_know_to_train_a_run(ask, service):
    attaching = {"resume": True, "restores": True}
    assert await ask("attach_run", '{"name": "mine"}', **attaching) == service.attachment

    [(asked, arguments)] = service.asked
    assert asked == "attach_run"
    assert ({"spec": '{"name": "mine"}'} | attaching).items() <= arguments.items()


async def test_a_deleted_run_leaves_nothing_to_return(ask, service):
    assert await ask("delete_run", "digits") is None
    assert [asked for asked, _ in service.asked] == ["delete_run"]


async def test_all_pages_of_runs_are_listed(ask, service):
    service.views = [
        msgspec.structs.replace(service.views[0], name=f"digits-{i}") for i in range(1001)
    ]

    assert await ask("list_runs") == service.views
    assert len(service.asked) == 3


async def test_all_pages_of_the_history_are_listed(ask, service, record_of):
    service.records = [record_of(revision) for revision in range(1, 1002)]

    assert await ask("list_decisions", "digits", after_revision=1) == service.records[1:]
    assert [asked["after_revision"] for _, asked in service.asked] == [1, 501, 1001]


async def test_a_watch_yields_records_until_it_ends(ask, service):
    assert await ask("watch_run", "digits", after_revision=0) == service.events
    assert service.asked == [("watch_run", {"after_revision": 0})]


async def test_an_export_yields_every_batch_with_every_bit(ask, service):
    assert await ask("export_run", "digits") == service.rows


async def test_an_explanation_comes_back_as_its_record(ask, service):
    assert await ask("explain", "digits") == await service.explain("digits")


async def test_a_probe_comes_back_with_every_loss(ask, service):
    found = await ask("probe_learning_rates", "digits", [0.1, 10.0], steps=3, groups=["default"])

    assert [trial.losses for trial in found.trials] == [(2.0, 1.5, 0.1 + 0.2), (2.0, math.inf)]
    assert found.trials[1].guardrails == ("max_lr",)
    assert (found.step, found.lowest, found.steepest) == (12, 0.1, None)
    [(asked, wish)] = service.asked
    assert asked == "probe_learning_rates"
    assert (wish["learning_rates"], wish["steps"], wish["groups"]) == ((0.1, 10.0), 3, ("default",))
    assert wish["principal"]


async def test_a_change_comes_back_with_its_decision(ask, service):
    result = await ask("change_learning_rate", "digits", HALVE)

    [(_, asked)] = service.asked
    assert result.decision == service.records[0].decision
    assert result.request_id == asked["change"].request_id
    assert asked["wait"] is True
    assert msgspec.structs.replace(asked["change"], request_id="", principal="") == HALVE


async def test_a_change_that_is_not_waited_for_has_no_decision_yet(ask):
    keyed = msgspec.structs.replace(HALVE, request_id="r-7")

    result = await ask("change_learning_rate", "digits", keyed, wait=False)

    assert (result.decision, result.request_id) == (None, "r-7")


async def test_every_wish_without_a_key_gets_one_of_its_own(ask, service):
    for _ in range(2):
        await ask("change_learning_rate", "digits", HALVE)
        await ask("create_run", "name: digits")

    keys = [
        asked["change"].request_id if "change" in asked else asked["request_id"]
        for _, asked in service.asked
    ]
    assert all(keys)
    assert len(set(keys)) == 4


async def test_a_key_that_is_given_is_kept(ask, service):
    await ask("create_run", "name: digits", request_id="mine")

    [(_, asked)] = service.asked
    assert asked["request_id"] == "mine"


async def test_a_caller_is_its_user_and_machine_unless_it_says_otherwise(ask, service):
    await ask("stop_run", "digits")
    for name in ("jürgen 100% @desk", "x" * 128):
        await ask("stop_run", "digits", of=ask.dial(principal=name))

    default, *given = [asked["principal"] for _, asked in service.asked]
    assert "@" in default
    assert given == ["jürgen 100% @desk", "x" * 128]
