"""Channels that a realtime client subscribes to, and how many it may have."""

from collections.abc import Iterable
from typing import Any

from minifn.errors import ArgumentInvalid
from minifn.ids import new_id

#: Limits of one connection. Guests may subscribe, so memory must be bounded.
SUBSCRIPTIONS_MAX = 200
CHANNELS_MAX = 200
CHANNEL_MAX_CHARS = 256
#: Limits over all subscriptions of a connection: channels, and characters of their names.
CHANNELS_TOTAL_MAX = 1000
CHANNELS_TOTAL_MAX_CHARS = 32_768


class Subscriptions:
    """The subscriptions of one connection."""

    def __init__(self) -> None:
        #: Id -> channels; "" is the subscription made by the URL, which has no id.
        self._channels: dict[str, tuple[str, ...]] = {}

    @property
    def channels(self) -> list[str]:
        """The channels of all subscriptions, without duplicates."""
        return list(dict.fromkeys(name for names in self._channels.values() for name in names))

    def from_url(self, given: Any) -> None:
        """Subscribe to the channels in the URL. Raises ArgumentInvalid."""
        self._channels[""] = channel_names(given)

    def add(self, wanted: Iterable[Any]) -> list[dict[str, Any]]:
        """Subscribe as a message asks for, and return the new subscriptions as JSON.

        Raises ArgumentInvalid for subscriptions of another form and above the limits.
        """
        added = []
        for item in wanted:
            if not isinstance(item, dict):
                raise ArgumentInvalid(
                    "Message format is not valid: a subscription must be an object."
                )
            if item.get("queries"):
                raise ArgumentInvalid(
                    "Queries of realtime subscriptions are not supported: filter in the client."
                )
            given = item.get("subscriptionId")
            fits = isinstance(given, str) and 0 < len(given) <= CHANNEL_MAX_CHARS
            name = str(given) if fits else new_id()
            self._channels[name] = channel_names(item.get("channels", ()))
            added.append({"subscriptionId": name, "channels": self._channels[name], "queries": []})
        self._check_total()
        return added

    def remove(self, unwanted: Iterable[Any]) -> list[dict[str, Any]]:
        """End subscriptions, and return those that existed as JSON."""
        removed = []
        for item in unwanted:
            name = item.get("subscriptionId") if isinstance(item, dict) else None
            if isinstance(name, str) and self._channels.pop(name, None) is not None:
                removed.append({"subscriptionId": name})
        return removed

    def ids_of(self, channels: Iterable[str]) -> list[str]:
        """Return the ids of the subscriptions to any of `channels`."""
        return [
            name
            for name, wanted in self._channels.items()
            if name and not set(wanted).isdisjoint(channels)
        ]

    def _check_total(self) -> None:
        if len(self._channels) > SUBSCRIPTIONS_MAX:
            raise ArgumentInvalid(f"A connection may have {SUBSCRIPTIONS_MAX} subscriptions.")
        names = [name for names in self._channels.values() for name in names]
        if len(names) > CHANNELS_TOTAL_MAX or sum(map(len, names)) > CHANNELS_TOTAL_MAX_CHARS:
            raise ArgumentInvalid(
                f"A connection may have {CHANNELS_TOTAL_MAX:,} channels of"
                f" {CHANNELS_TOTAL_MAX_CHARS:,} chars together."
            )


def channel_names(given: Any) -> tuple[str, ...]:
    """Return channel names from a client's list, object or single name. Raises ArgumentInvalid."""
    values = given
    if isinstance(given, dict):
        values = list(given.values())
    elif isinstance(given, str):
        values = [given]
    if not isinstance(values, list | tuple) or len(values) > CHANNELS_MAX:
        raise ArgumentInvalid(f"Channels must be a list of at most {CHANNELS_MAX} names.")
    if not all(isinstance(value, str) and 0 < len(value) <= CHANNEL_MAX_CHARS for value in values):
        raise ArgumentInvalid(f"A channel must be a name of at most {CHANNEL_MAX_CHARS} chars.")
    return tuple(dict.fromkeys(values))
