"""All operations of the `appwrite` package on functions, in any version."""

import queries
import rules_and_keys
from appwrite.services.functions import Functions
from client import Service, connect, refused
from deployments import deployments, later_deployments, repositories, uploads_in_chunks
from executions import callers, executions
from settings import create, variables
from target import ENTRYPOINT, FORMAT, ID, OLD, RUNTIME, functions


def delete():
    updated = functions.update(ID, "Renamed", entrypoint=ENTRYPOINT, enabled=False)
    assert (updated["name"], updated["enabled"], updated["runtime"]) == ("Renamed", False, RUNTIME)
    assert ID in [row["$id"] for row in functions.list(search="Renamed")["functions"]]
    refused(404, "function_not_found", Service(Functions(connect())).create_execution, ID)
    functions.delete(ID)
    refused(404, "function_not_found", functions.get, ID)
    refused(404, "function_not_found", functions.delete, ID)


create()
variables()
small = deployments()
executions(small)
large = uploads_in_chunks()
later_deployments(small, large)
if not OLD:
    repositories()
callers()
if FORMAT >= (1, 9):
    rules_and_keys.check(ID)
queries.check(functions, f"{ID}-q")
delete()
functions.check_all_called()
print("all called")
