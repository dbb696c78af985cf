"""What the gateway process must know before it can be asked: the scopes, each told once to each new process."""

from __future__ import annotations

from itertools import islice

from ..vocabulary import Scope
from .framing import pack
from .link import Link
from .messages import MAX_TO_GATEWAY

_SCOPES_A_POLL = 16


class Telling:
    """The scopes that were declared, as they go on the wire, and which of them this process was not told yet."""

    def __init__(self) -> None:
        self.scopes: dict[int, Scope] = {}
        """Those that were declared, by number."""
        self._frames: dict[int, bytes] = {}
        self._untold: dict[int, None] = {}  # in order

    def __contains__(self, scope_id: object) -> bool:
        return scope_id in self._frames

    def declare(self, scope_id: int, scope: Scope) -> None:
        """Errors as :meth:`Gateway.declare_scope`."""
        frame = pack({"t": "scope", "id": scope_id, "scope": scope.model_dump(mode="json")}, MAX_TO_GATEWAY)
        if scope_id not in self._frames:
            self.scopes[scope_id], self._frames[scope_id] = scope, frame
            self._untold[scope_id] = None
        elif self._frames[scope_id] != frame:
            raise ValueError(f"scope {scope_id} is declared already, and differs; give the new one a new number")

    def begin_again(self) -> None:
        """There is a new process, which knows nothing."""
        self._untold = dict.fromkeys(self._frames)

    def tell(self, link: Link, scope_id: int) -> None:
        """Tell this one now, unless that is done."""
        if scope_id in self._untold:
            link.push(self._frames[scope_id])
            del self._untold[scope_id]

    def tell_some(self, link: Link) -> None:
        """Tell the next few, as far as the outbox takes them."""
        for scope_id in list(islice(self._untold, _SCOPES_A_POLL)):
            if link.has_room:
                self.tell(link, scope_id)
