"""Flags orders that look like fraud: reads `order.placed` and emits `order.flagged`. What is no order is rejected."""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports.log import Level, write
from wit_world.imports.types import Emit, Event, Failure_Reject

# In the smallest unit of the currency.
SUSPICIOUS = 1_000_000


class Handler(exports.Handler):
    def handle(self, event: Event) -> list[Emit]:
        try:
            order = json.loads(event.payload)["data"]
            order_id, total = str(order["order_id"]), int(order["total"])
        except (KeyError, TypeError, ValueError) as error:
            raise Err(Failure_Reject(f"expected an order with `order_id` and `total`: {error!r}"))
        if total < SUSPICIOUS:
            return []
        write(Level.WARN, f"order {order_id}: {total} is a lot")
        flagged = {"type": "OrderFlagged", "data": {"order_id": order_id, "total": total}}
        return [Emit("order.flagged", 1, None, None, [], json.dumps(flagged).encode())]
