"""Variables: one value a key, of a function or of the project; secrets stay secret."""

import pytest

from minifn.errors import (
    FunctionNotFound,
    VariableAlreadyExists,
    VariableCannotUnsetSecret,
    VariableNotFound,
)
from minifn.services.variables import VariableChange
from minifn.store.queries import Query
from tests.services.functions import SETTINGS, Run, Services


def test_variables_have_one_value_a_key(run: Run) -> None:
    async def scenario(services: Services) -> None:
        await services.functions.create("hello", SETTINGS)
        first = await services.variables.create("hello", "A", "1")
        second = await services.variables.create("hello", "B", "", variable_id="mine")
        assert (second.id, await services.variables.get("hello", "mine")) == ("mine", second)
        with pytest.raises(VariableAlreadyExists):
            await services.variables.create("hello", "A", "2")
        with pytest.raises(VariableAlreadyExists):
            await services.variables.update("hello", second.id, VariableChange(key="A"))
        updated = await services.variables.update("hello", first.id, VariableChange(key="C"))
        assert (updated.key, updated.value) == ("C", "1")
        assert (await services.variables.page("hello", Query())).total == 2
        assert await services.variables.delete("hello", first.id) == updated
        for missing in (
            services.variables.get("hello", first.id),
            services.variables.update("hello", first.id, VariableChange(value="x")),
            services.variables.delete("hello", first.id),
        ):
            with pytest.raises(VariableNotFound):
                await missing
        with pytest.raises(FunctionNotFound):
            await services.variables.create("nobody", "A", "1")

    run(scenario)


def test_a_secret_stays_secret(run: Run) -> None:
    async def scenario(services: Services) -> None:
        await services.functions.create("hello", SETTINGS)
        variable = await services.variables.create("hello", "A", "1")
        assert (
            await services.variables.update("hello", variable.id, VariableChange(secret=True))
        ).secret
        with pytest.raises(VariableCannotUnsetSecret):
            await services.variables.update("hello", variable.id, VariableChange(secret=False))

    run(scenario)
