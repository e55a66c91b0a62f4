// Gives a discount on large orders: reads `order.placed` and emits `order.discounted`. What is no order is rejected.

import { write } from "guesthouse:handler/log@0.1.0";
import { bytesOf, textOf } from "./text.js";

// In the smallest unit of the currency.
const LARGE = 100_000;
const PERCENT = 5;

export const handler = {
  handle(event) {
    const { order_id, total } = orderOf(event);
    if (total < LARGE) return [];
    const discount = Math.floor((total * PERCENT) / 100);
    write("info", `order ${order_id}: ${discount} off`);
    return [emit("order.discounted", { type: "OrderDiscounted", data: { order_id, discount } })];
  },
};

function orderOf({ payload }) {
  const order = parse(payload)?.data;
  if (typeof order?.order_id === "string" && Number.isSafeInteger(order.total)) return order;
  throw { tag: "reject", val: "expected an order with `order_id` and `total`" };
}

function parse(payload) {
  try {
    return JSON.parse(textOf(payload));
  } catch (error) {
    throw { tag: "reject", val: `expected JSON: ${error.message}` };
  }
}

function emit(type, event) {
  const payload = bytesOf(JSON.stringify(event));
  return { type, schemaVersion: 1, topic: null, key: null, headers: [], payload };
}
