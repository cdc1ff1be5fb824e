"""Answer a request that an SDK repeats as it was answered, if the SDK did not get that answer.

An SDK repeats a request whose connection ends without an answer, and gives each of its attempts the same
``amz-sdk-invocation-id`` (botocore's ``add_retry_headers``; aws-sdk-go-v2's ``ClientRequestID``). On a busy machine an
answer of Hypercorn's gets lost now and then; Terraform then met ResourceAlreadyExists for what it had made itself, and
did not have it in its state.
"""

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Final

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]

KEPT: Final = 1000
"""Answers to keep: far more than there are requests in the seconds after which an SDK repeats one."""
INVOCATION: Final = b"amz-sdk-invocation-id"

log = logging.getLogger("repeats")


class Repeats:
    """An ASGI application that keeps successful answers to requests other than GET, for later attempts."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._answers: OrderedDict[bytes, list[Message]] = OrderedDict()

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Handle a request; see ASGI's specification."""
        invocation = dict(scope.get("headers", ())).get(INVOCATION)
        if invocation is None or scope.get("method") == "GET":
            await self._app(scope, receive, send)
        elif answer := self._answers.get(invocation):
            log.warning("Answered again: %s %s", scope["method"], scope["path"])
            while (await receive()).get("more_body"):
                pass
            for message in answer:
                await send(message)
        else:
            await self._first(invocation, scope, receive, send)

    async def _first(self, invocation: bytes, scope: Any, receive: Receive, send: Send) -> None:
        sent: list[Message] = []

        async def keep(message: Message) -> None:
            sent.append(message)
            await send(message)

        await self._app(scope, receive, keep)
        # An SDK repeats refused requests on purpose.
        if sent and sent[0].get("status", 500) < 300:
            self._answers[invocation] = sent
            if len(self._answers) > KEPT:
                self._answers.popitem(last=False)
