"""The templates and spares of all deployments: made when a worker has answered.

They share a limit of memory.
"""

import asyncio
import logging
from collections.abc import Callable

from minifn.hooks import nothing
from minifn.host.tasks import Tasks
from minifn.sandbox.command import SandboxError
from minifn.sandbox.engines import Engine
from minifn.sandbox.spawner import Spawner
from minifn.workers.records import WorkerFailed, WorkerSpec
from minifn.workers.spare import Spare
from minifn.workers.template import Template

logger = logging.getLogger("minifn.workers")

TOO_LARGE = "it takes more than MINIFN_TEMPLATE_MEMORY"
ENDED = "it was ended from within"
DAEMONS = "its calls leave processes behind"
RESTLESS = "it is not at rest while it has no worker"
#: Seconds between looks at templates.
LOOK_SECONDS = 10.0
#: Divisor of the memory limit that gives the default limit of templates.
MEMORY_SHARE = 8


def room_of(engine: Engine, template_memory: int, limit_bytes: int) -> int:
    """Return the bytes that templates may take: those of MINIFN_TEMPLATE_MEMORY, 0 for none.

    `limit_bytes` is the memory limit of the server. Only namespaces keep the processes of a sandbox
    apart from all others, so that a fork can be told from other processes.
    """
    if not engine.namespaces:
        return 0
    return limit_bytes // MEMORY_SHARE if template_memory < 0 else template_memory * 1024 * 1024


class Templates:
    """At most one template or spare for each deployment; the oldest are ended first."""

    def __init__(self, spawner: Spawner, engine: Engine, limit_bytes: int) -> None:
        """`limit_bytes`: resident memory of all templates, 0 for no template."""
        self._spawner = spawner
        self._engine = engine
        self._limit_bytes = limit_bytes
        self._templates: dict[str, Template] = {}
        #: Those whose process may run, also the ones that fork no more.
        self._living: set[Template] = set()
        #: Deployments that have none, by kind, with the spec for which this was found out.
        self._refused: dict[tuple[str, type[Template]], WorkerSpec] = {}
        self._tasks = Tasks()
        self._is_looking = False
        #: Called with the spec of a deployment that has no template, and with the reason.
        self.on_refused: Callable[[WorkerSpec, str], None] = nothing
        #: Called when the workers that a template forked must end.
        self.on_retired: Callable[[Template], None] = nothing

    def of(self, spec: WorkerSpec) -> Template | None:
        """Return the template that forks workers of this spec, None for none yet."""
        template = self._templates.get(spec.key)
        if template is not None and template.state == "ready" and template.spec == spec:
            return template
        return None

    def has(self, spec: WorkerSpec) -> bool:
        """Tell whether workers of this spec are forked now."""
        return spec.forks and type(self.of(spec)) is Template

    def want(self, spec: WorkerSpec) -> bool:
        """Make the template of a deployment, or its spare if workers cannot be forked.

        Return False when it can have neither.
        """
        known = self._templates.get(spec.key)
        if known is not None and (known.spec != spec or known.state == "retired"):
            del self._templates[spec.key]
            known.retire()
            known = None
        kind = self._kind(spec)
        if known is None and kind is not None and self._limit_bytes:
            known = self._templates[spec.key] = kind(spec)
            self._living = {one for one in self._living if not one.has_ended} | {known}
            known.on_retired = self._retired
            self._tasks.start(self._load(known), f"{known.name} {spec.command.label}")
        return known is not None

    def _kind(self, spec: WorkerSpec) -> type[Template] | None:
        """Return the best kind of process that can wait for calls of this spec."""
        if spec.forks and not self.is_refused(spec):
            return Template
        return Spare if spec.waits and not self.is_refused(spec, Spare) else None

    def is_refused(self, spec: WorkerSpec, kind: type[Template] = Template) -> bool:
        """Tell whether workers of this spec cannot be forked, or come from another kind."""
        return self._refused.get((spec.key, kind)) == spec

    def drop(self, key: str) -> None:
        """Forget a deployment; its template ends once its workers have ended."""
        for kind in (Template, Spare):
            self._refused.pop((key, kind), None)
        template = self._templates.pop(key, None)
        if template is not None:
            template.retire()

    def give_way(self, but: str = "") -> Template | None:
        """Take out the template that forked longest ago, of those without workers.

        `but` is the key of a deployment whose template stays.
        """
        ready = (one for one in self._templates.values() if one.state == "ready")
        idle = [one for one in ready if one.is_idle and one.spec.key != but]
        oldest = min(idle, key=lambda one: one.used_at, default=None)
        if oldest is not None:
            del self._templates[oldest.spec.key]
            oldest.on_retired = nothing
        return oldest

    async def close(self) -> None:
        """End every template."""
        self._limit_bytes = 0
        await self._tasks.end()
        self._templates.clear()
        await asyncio.gather(*(template.close() for template in self._living))

    async def _load(self, template: Template) -> None:
        try:
            await template.load(self._spawner, self._engine)
        except (SandboxError, WorkerFailed) as exc:
            template.obstacle = str(exc)
        if template.obstacle:
            self._refuse(template, template.obstacle)
        elif template.resident_bytes > self._limit_bytes:
            self._refuse(template, TOO_LARGE)
            await template.stop()
        elif not self._is_looking:
            self._is_looking = True
            self._tasks.start(self._look(), "looks at templates")
        await self._trim()

    async def _trim(self) -> None:
        """End the oldest templates without workers until the others are within the limit."""
        while sum(one.resident_bytes for one in self._templates.values()) > self._limit_bytes:
            oldest = self.give_way()
            if oldest is None:
                break
            await oldest.stop()

    async def _look(self) -> None:
        """Look after templates while there are any."""
        while self._templates:
            for template in list(self._templates.values()):
                restless = template.state == "ready" and await asyncio.to_thread(
                    template.is_restless
                )
                # A spare may have become a worker meanwhile.
                if restless and template.state == "ready":
                    self._refuse(template, RESTLESS)
                    await template.stop()
            await self._trim()
            await asyncio.sleep(LOOK_SECONDS)
        self._is_looking = False

    def _refuse(self, template: Template, why: str) -> None:
        spec = template.spec
        if self._templates.get(spec.key) is template:
            del self._templates[spec.key]
            self._refused[spec.key, type(template)] = spec
            name = template.name
            logger.info("%s: workers start without a %s: %s", spec.command.label, name, why)
            if type(template) is Template:
                self.on_refused(spec, why)
                self.want(spec)

    def _retired(self, template: Template) -> None:
        """Have its workers end; make another one if they have only left files."""
        if template.left != "files":
            self._refuse(template, DAEMONS if template.left else ENDED)
        elif self._templates.get(template.spec.key) is template:
            del self._templates[template.spec.key]
            self.want(template.spec)
        self.on_retired(template)
