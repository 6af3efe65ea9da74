// The hook in a component, as React renders it: node react.mjs URL CODE TOKEN
import assert from "node:assert/strict";
import { createElement, StrictMode } from "react";
import { act, create } from "react-test-renderer";
import { WebSocket } from "ws";
import { Meeting } from "roomd";
import { useMeeting } from "./useMeeting.js";

globalThis.WebSocket ??= WebSocket;
globalThis.IS_REACT_ACT_ENVIRONMENT = true;
console.error = (...words) => {
  if (!String(words[0]).includes("react-test-renderer is deprecated")) throw new Error(words.join(" "));
};
const [url, code, token] = process.argv.slice(2);

let shown;
let rendered = 0;
function Room({ room }) {
  rendered += 1;
  shown = useMeeting(url, room, { token: () => token });
  return createElement("ul", null, ...[...shown.participants.values()].map((one) => createElement("li", { key: one.id }, one.displayName)));
}

async function until(condition) {
  const deadline = Date.now() + 60_000;
  while (!condition()) {
    assert.ok(Date.now() < deadline, condition.toString());
    await act(() => new Promise((resolve) => setTimeout(resolve, 5)));
  }
}

let tree;
const show = (room) => act(() => {
  const element = createElement(StrictMode, null, createElement(Room, { room }));
  if (tree) tree.update(element);
  else tree = create(element);
});
const names = () => (tree.toJSON().children ?? []).map(({ children }) => children[0]);

await show(code);
await until(() => names().includes("alice"));
const jane = new Meeting(url, { code, guestName: "Jane" });
await act(() => jane.join()); // what it changes for alice may come before its answer
await until(() => names().includes("Jane"));
await act(() => jane.say("Hello"));
await until(() => shown.messages.some(({ text }) => text === "Hello"));
assert.equal(shown.status, "joined");
await act(() => jane.leave());
await until(() => names().length === 1);
const before = rendered;
await show(code);
assert.ok(rendered <= before + 2, "a new function for the token renders once and joins nothing anew");
assert.equal(shown.status, "joined");

await show("zzz-zzz-zzz");
await until(() => shown.over);
assert.equal(shown.over.code, "room_not_found");
await act(() => tree.unmount());
console.log("done");
process.exit(0);
