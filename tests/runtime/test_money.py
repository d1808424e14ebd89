import asyncio

import pytest

from navigation import InputError
from runtime import Budget, BudgetExceeded, PriceTable, Usage


def test_usage_adds_up_and_round_trips():
    total = Usage(requests=2, prompt_tokens=10, usd=0.5) + Usage(requests=1, completion_tokens=3, usd=0.25)
    assert total == Usage(requests=3, prompt_tokens=10, completion_tokens=3, usd=0.75)
    assert Usage.from_dict(total.to_dict()) == total


def test_price_of_cached_and_fresh_tokens(tmp_path):
    table = tmp_path / "prices.yaml"
    table.write_text('models: {"m*": {prompt: 2, completion: 8, cached: 0.5}, "m-big*": {prompt: 4, completion: 16}}')
    prices = PriceTable(table)
    usage = Usage(prompt_tokens=1_000_000, cached_tokens=400_000, completion_tokens=100_000)
    assert prices.price("m1").usd(usage) == pytest.approx(0.6 * 2 + 0.4 * 0.5 + 0.1 * 8)
    assert prices.price("m-big-1").usd(usage) == pytest.approx(4 + 0.1 * 16)
    assert prices.price("other") is None


def test_the_shipped_table_is_readable():
    assert PriceTable().price("stub").prompt > 0


@pytest.mark.parametrize(
    "text", ["[]", "models: 3", "models: {a: {prompt: -1, completion: 1}}", "models: {a: {prompt: 1}}"]
)
def test_a_bad_table_is_refused(tmp_path, text):
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(InputError) as error:
        PriceTable(tmp_path / "p.yaml")
    assert error.value.source == str(tmp_path / "p.yaml")
    assert error.value.field.startswith("models")


async def test_money_in_flight_is_set_aside():
    budget = Budget(limit=1.0)
    first, second = await budget.reserve(0.4), await budget.reserve(0.4)
    third = asyncio.create_task(budget.reserve(0.4))
    await asyncio.sleep(0)
    assert not third.done()
    budget.settle(first, 0.3)
    await asyncio.wait_for(third, 1)
    # Set aside are 0.4 and, the dearest request so far, 0.3; spent are 0.3: nothing is left.
    fourth = asyncio.create_task(budget.reserve(0.1))
    await asyncio.sleep(0)
    assert not fourth.done()
    budget.settle(second, 0.4)
    budget.settle(third.result(), 0.3)
    with pytest.raises(BudgetExceeded) as error:
        await fourth
    assert "may cost 0.4000" in str(error.value)
    assert budget.spent == pytest.approx(1.0)


async def test_money_of_earlier_runs_counts():
    with pytest.raises(BudgetExceeded):
        await Budget(limit=1.0, spent=0.9).reserve(0.2)
